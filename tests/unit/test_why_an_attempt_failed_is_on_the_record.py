"""What a worker does with one delivery: each attempt that fails says why, and nobody asks a model for a turn that is
over.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from test_a_turn_goes_through_the_shared_loop import fresh

from parley_mesh.bus import Appended, Headers
from parley_mesh.memory import MemoryBus
from parley_mesh.work import Delivery
from parley_proto import subjects
from parley_proto.envelope import decode, encode, now_ms
from parley_proto.errors import ConflictError, ParleyError, PermanentError, TransientError
from parley_proto.specialist import AssignTurn, AttemptFailed, Outcome, Step, TurnAnswered, TurnFailed, TurnOpened
from parley_proto.specialist import TurnRevoked as Revoked
from parley_specialist import worker as worker_module
from parley_specialist.loop import Loop
from parley_specialist.worker import Worker


class Scripted:
    """A loop that ends as it is told."""

    def __init__(self, end: Exception | None = None) -> None:
        self.end = end
        self.asked = 0

    async def answer(self, turn: AssignTurn, attempt: int) -> TurnAnswered:
        self.asked += 1
        if self.end:
            raise self.end
        return TurnAnswered(
            turn_id=turn.turn_id,
            attempt=attempt,
            epoch=turn.epoch,
            specialty="billing",
            at=now_ms(),
            text="It was refunded.",
            kind="grounded",
            model="scripted",
        )


class Log(MemoryBus):
    """A log that takes no answer, for the reason `refusal`."""

    def __init__(self, refusal: ParleyError | None = None) -> None:
        super().__init__()
        self._refusal = refusal

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        if self._refusal and b'"TurnAnswered"' in data:
            raise self._refusal
        return await super().append(subject, data, msg_id=msg_id, expect=expect, headers=headers)


class Scene:
    def __init__(self, loop: Scripted, refusal: ParleyError | None = None) -> None:
        self.bus = Log(refusal)
        self.turn = fresh()
        self._worker = Worker("billing", cast(Loop, loop), self.bus, 64)

    async def deliver(self, *before: Step, age_s: float = 0.0) -> None:
        for step in (TurnOpened(self.turn.turn_id, self.turn.epoch, "billing", now_ms()), *before):
            await self.bus.append(subjects.step(self.turn.conversation, self.turn.turn_id), encode(step))
        metadata = SimpleNamespace(
            num_delivered=1,
            sequence=SimpleNamespace(stream=1),
            timestamp=datetime.now(UTC) - timedelta(seconds=age_s),
        )
        message = SimpleNamespace(subject="turn", data=encode(self.turn), headers=None, metadata=metadata)
        await self._worker.handle(Delivery(cast(Any, message)))

    @property
    def failures(self) -> list[AttemptFailed]:
        steps = [decode(stored.data, Step) for stored in self.bus.everything("step.>")]
        return [step for step in steps if isinstance(step, AttemptFailed)]

    @property
    def outcomes(self) -> list[Outcome]:
        return [decode(stored.data, TurnAnswered | TurnFailed) for stored in self.bus.everything("conv.>")]


@pytest.mark.parametrize(
    "error",
    [TransientError("away"), ConflictError("too late"), ParleyError("larger than the server takes", code="large")],
)
async def test_whatever_ends_an_attempt_is_noted(error: ParleyError) -> None:
    scene = Scene(Scripted(error))
    with pytest.raises(type(error)):
        await scene.deliver()
    assert [(step.code, step.reason) for step in scene.failures] == [(error.code, error.message)]


async def test_an_answer_that_does_not_reach_the_log_is_noted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "ELECTION_S", 0.1)
    scene = Scene(Scripted(), TransientError("No leader.", code="timeout"))
    with pytest.raises(TransientError):
        await scene.deliver()
    assert [step.code for step in scene.failures] == ["timeout"]


async def test_an_answer_that_the_log_never_takes_ends_the_turn_with_that_reason() -> None:
    scene = Scene(Scripted(), PermanentError("It is larger than the server takes.", code="too_large"))
    await scene.deliver()
    (outcome,) = scene.outcomes
    assert isinstance(outcome, TurnFailed) and outcome.code == "too_large"


@pytest.mark.parametrize(("age_s", "asked"), [(3.0, 0), (0.0, 1)])
async def test_work_that_has_waited_is_looked_up_before_the_model_is_asked(age_s: float, asked: int) -> None:
    """Work that comes at once is not: its revocation is heard on the way, and the look would cost each turn a read."""
    loop = Scripted()
    scene = Scene(loop)
    await scene.deliver(Revoked(scene.turn.turn_id, scene.turn.epoch, "interrupted", now_ms()), age_s=age_s)
    assert loop.asked == asked and not scene.failures


async def test_work_past_its_deadline_costs_no_completion_and_ends_its_turn() -> None:
    """Its owner is told by a message of its own; where that is lost, this one is left."""
    loop = Scripted()
    scene = Scene(loop)
    scene.turn = msgspec.structs.replace(scene.turn, deadline_at=now_ms() - 1)
    await scene.deliver()
    (outcome,) = scene.outcomes
    assert isinstance(outcome, TurnFailed) and outcome.code == "deadline"
    assert loop.asked == 0
