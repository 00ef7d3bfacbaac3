"""How often a turn is tried: failures count, deaths are looked into, and who only stood beside one is not blamed."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.envelope import encode
from parley_proto.errors import PermanentError, TransientError
from parley_proto.specialist import AssignTurn, TurnOpened, TurnRevoked
from parley_specialist.attempts import Attempts
from parley_specialist.journal import Journal
from parley_testkit.samples import ASSIGN, AT, CONVERSATION

MOST = 4


class Turn:
    """One turn and what is done about it."""

    def __init__(self, journal: Journal, attempts: Attempts, turn: AssignTurn = ASSIGN) -> None:
        self.journal = journal
        self.turn = turn
        self.done: list[str] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self._attempts = attempts

    async def deliver(self, attempt: int) -> str:
        await self._attempts.run(self.turn, attempt, self._work, self._fail)
        return self.done[-1]

    async def _work(self) -> None:
        self.done.append("begun")
        await self.may_end.wait()
        self.done[-1] = "worked"

    async def _fail(self) -> None:
        self.done.append("failed")


async def opened(bus: MemoryBus, turn: AssignTurn = ASSIGN) -> Journal:
    await bus.append(subjects.step(CONVERSATION, turn.turn_id), encode(TurnOpened(turn.turn_id, 1, "billing", AT)))
    return Journal(bus)


@pytest.fixture
async def turn() -> Turn:
    journal = await opened(MemoryBus())
    return Turn(journal, Attempts(journal, MOST))


async def test_four_attempts_that_failed_are_all(turn: Turn) -> None:
    for attempt in range(1, MOST + 1):
        assert await turn.deliver(attempt) == "worked"
        await turn.journal.failed(turn.turn, attempt, TransientError("away"))
    assert await turn.deliver(MOST + 1) == "failed"


async def test_one_whose_processes_died_is_tried_four_times_too(turn: Turn) -> None:
    assert [await turn.deliver(attempt) for attempt in range(1, 6)] == ["worked"] * 4 + ["failed"]


async def test_one_that_waits_for_another_suspect_is_not_blamed_for_its_deaths(turn: Turn) -> None:
    other = msgspec.structs.replace(ASSIGN, turn_id="t" + "7" * 32)
    poison = Turn(await opened(turn.journal._bus, other), turn._attempts, other)  # type: ignore[arg-type]
    poison.may_end.clear()
    for number, attempt in enumerate((3, 4), start=1):
        dying = asyncio.create_task(poison.deliver(attempt))
        beside = asyncio.create_task(turn.deliver(attempt))
        while len(poison.done) < number:
            await asyncio.sleep(0)
        for task in (dying, beside):
            task.cancel()
        await asyncio.gather(dying, beside, return_exceptions=True)
    assert turn.done == [], "it stood in line each time"
    assert await poison.deliver(5) == "failed"
    assert await turn.deliver(5) == "worked"


async def test_a_turn_that_was_taken_away_is_not_tried_again(turn: Turn) -> None:
    revoked = TurnRevoked(turn.turn.turn_id, 1, "handoff", AT)
    await turn.journal._bus.append(subjects.step(CONVERSATION, turn.turn.turn_id), encode(revoked))
    with pytest.raises(PermanentError) as caught:
        await turn.deliver(3)
    assert caught.value.code == "revoked" and turn.done == []
