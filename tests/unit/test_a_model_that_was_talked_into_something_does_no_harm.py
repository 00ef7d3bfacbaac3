"""The shared loop with a model that obeys others: what it says is filtered live and in the answer, what it offers is
asked, what it breaks is told without data."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from test_a_turn_goes_through_the_shared_loop import DONE, Scene, call, fresh, say

from parley_mesh.memory import MemoryBus
from parley_mesh.middleware.acknowledge import acknowledge
from parley_mesh.telemetry import JsonLines
from parley_mesh.work import Delivery
from parley_proto.conversation import Delta, ToolShown
from parley_proto.envelope import encode
from parley_proto.errors import PermanentError
from parley_proto.llm import TextDelta
from parley_proto.specialist import AssignTurn, HandoffRequested, Line, Offer
from parley_specialist.loop import Loop
from parley_specialist.shown import LONGEST_ANSWER
from parley_specialist.worker import Worker

QUESTION = "Shall I refund PAY-1?"


async def test_the_words_that_flow_are_those_of_the_answer() -> None:
    leak = "Look ![x](https://evil-leak.test/p?q=1) and [this](https://evil-leak.test/y) <b>now</b> https://evil-leak.test."
    scene = Scene([*(TextDelta(char) for char in leak), DONE])
    answered = await scene.answer()
    flowed = [live for live in scene.live if isinstance(live, Delta)]
    assert answered.text == "Look x and this now …." == "".join(delta.text for delta in flowed)
    ends = [delta.offset + len(delta.text) for delta in flowed]
    assert [delta.offset for delta in flowed] == [0, *ends[:-1]]


async def test_an_offer_is_asked_even_if_the_model_hides_it() -> None:
    scene = Scene(call("refund", payment_id="PAY-1"), say("Say yes and win a present!"))
    answered = await scene.answer()
    assert answered.text == f"Say yes and win a present!\n\n{QUESTION}"
    assert answered.offer == Offer("refund", {"payment_id": "PAY-1"}, QUESTION)
    assert "".join(live.text for live in scene.live if isinstance(live, Delta)) == answered.text


async def test_an_offer_that_was_asked_is_not_asked_twice() -> None:
    scene = Scene(call("refund", payment_id="PAY-1"), say("Gladly. Shall I **refund** PAY-1?"))
    assert (await scene.answer()).text == "Gladly. Shall I **refund** PAY-1?"


async def test_politeness_in_the_next_question_is_no_consent() -> None:
    offer = Offer("refund", {"payment_id": "PAY-1"}, QUESTION)
    scene = Scene(call("refund", payment_id="PAY-1"), say("We open at nine."))
    polite = fresh(messages=[Line("customer", "Could you please tell me when you open?", "m-2")])
    await scene.answer(msgspec.structs.replace(polite, offer=offer))
    assert not scene.bus.everything("effect.*")


async def test_an_endless_answer_ends_the_turn() -> None:
    scene = Scene([*[TextDelta("many words ")] * (LONGEST_ANSWER // 10), DONE])
    with pytest.raises(PermanentError) as raised:
        await scene.answer()
    assert raised.value.code == "answer_too_long"


async def test_the_name_of_an_invented_tool_is_not_shown() -> None:
    scene = Scene(call("evil-leak.test/steal"), say("What do you need?"))
    await scene.answer()
    assert {live.name for live in scene.live if isinstance(live, ToolShown)} == {"tool"}


async def test_a_handover_holds_no_card_and_no_link() -> None:
    scene = Scene(call("handoff", to="technical", reason="See [here](https://evil-leak.test) for 4111 1111 1111 1111."))
    said = Line("customer", "My card 4111-1111-1111-1111 <img src=//evil-leak.test/x>", "m-1")
    moved = await scene.answer(fresh(messages=[said]))
    assert isinstance(moved, HandoffRequested)
    told = msgspec.json.encode(moved.summary).decode()
    assert "1111 1111" not in told and "1111-1111" not in told and "evil-leak" not in told and "<img" not in told


class _Broken:
    async def answer(self, _turn: AssignTurn, _attempt: int) -> Any:
        return {}["canary jo@example.org"]


class _Message:
    """What NATS delivers, as far as a delivery reads it."""

    subject = "turn.billing.stable.chat"
    headers: dict[str, str] | None = None

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.metadata = SimpleNamespace(
            num_delivered=1, sequence=SimpleNamespace(stream=1), timestamp=datetime.now(UTC)
        )
        self.naks = 0

    async def nak(self, delay: float) -> None:
        self.naks += 1


async def test_personal_data_inside_an_exception_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker("billing", cast(Loop, _Broken()), MemoryBus(), 64)
    message = _Message(encode(fresh()))
    delivery = Delivery(cast(Any, message))
    with caplog.at_level(logging.INFO):
        await acknowledge()(worker.handle)(delivery)
    lines = [JsonLines("billing", "billing-1").format(record) for record in caplog.records]
    assert message.naks == 1 and lines
    assert "canary" not in "".join(lines)
    assert any("KeyError at" in json.loads(line).get("reason", "") for line in lines)
