"""The entry that stops a conversation becomes the dead letter, and not the one whose delivery shows that it stopped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from parley_conversation import metrics
from parley_conversation.adapters import Intents, Log
from parley_conversation.handlers import MAX_ATTEMPTS, Conversations
from parley_conversation.memory import Memory
from parley_conversation.settings import Settings
from parley_mesh.bus import Write
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.conversation import CustomerMessage, MessageShown, Shown
from parley_proto.envelope import decode, encode
from parley_proto.errors import AmbiguousCommitError, ConflictError, TransientError
from parley_proto.specialist import Burst, DeadLetter, RouteHint
from parley_testkit.samples import CONVERSATION, customer_message

POISON = "poison"


class Known:
    """One specialty, no notices, and a router that one text breaks."""

    def names(self) -> list[str]:
        return ["billing"]

    def burst(self, _specialty: str) -> Burst:
        return "merge"

    def in_force(self, _specialty: str = "") -> list[Any]:
        return []

    async def route(self, text: str, *, needed: bool) -> RouteHint:
        if POISON in text:
            raise ValueError(text)
        return RouteHint("billing", 0.9)


class Refusing(MemoryBus):
    """The log; the next commits fail with `errors`, one each."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    async def commit(self, batch: list[Write]) -> int:
        if self.errors:
            raise self.errors.pop(0)
        return await super().commit(batch)


class Owner:
    """The handlers of one owner on a log in memory; `settled` are the entries that it has acknowledged."""

    def __init__(self) -> None:
        self.bus = Refusing()
        known, store = cast(Any, Known()), Log(self.bus, subjects.SHARDS)
        memory = Memory(1 << 20, subjects.SHARDS)
        self.keeper = Conversations(Settings(), store, memory, cast(Intents, known), known, known)
        self.settled: list[int] = []
        self.returned: list[int] = []

    async def accept(self, message: CustomerMessage) -> int:
        return (await self.bus.append(subjects.conv(CONVERSATION), encode(message))).seq

    async def deliver(self, seq: int, attempt: int = 1) -> None:
        stored = await self.bus.at(seq)
        assert stored

        async def ack() -> None:
            self.settled.append(seq)

        async def nak(delay: float = 0) -> None:
            self.returned.append(seq)

        numbers = SimpleNamespace(sequence=SimpleNamespace(stream=seq), num_delivered=attempt)
        message = SimpleNamespace(
            metadata=numbers, data=stored.data, headers={}, ack=ack, nak=nak, subject=stored.subject
        )
        self.keeper.deliver(cast(Any, message))
        await self.keeper.drain(5)

    def begin_anew(self) -> None:
        """As an owner does that has just taken over: it knows only what is in the log."""
        self.keeper.forget(subjects.shard_of(CONVERSATION))

    async def until_settled(self, seq: int) -> None:
        """Deliver it again and again, as the log does with what is not acknowledged."""
        for attempt in range(1, 3 * MAX_ATTEMPTS):
            await self.deliver(seq, attempt)
            if seq in self.settled:
                return
        raise AssertionError("the log would deliver it for ever")

    def shown(self) -> list[MessageShown]:
        found = [decode(stored.data, Shown) for stored in self.bus.everything("out.*")]
        return [one for one in found if isinstance(one, MessageShown)]

    def dead(self) -> list[DeadLetter]:
        return [decode(stored.data, DeadLetter) for stored in self.bus.everything(subjects.ALL_DEAD)]


@pytest.fixture
def owner() -> Owner:
    return Owner()


async def test_a_new_owner_that_meets_it_in_the_backlog_loses_nothing_behind_it(owner: Owner) -> None:
    first = await owner.accept(customer_message("hello", "1", message_id="m-1"))
    await owner.until_settled(first)
    poison = await owner.accept(customer_message(POISON, "2", message_id="m-2"))
    behind = await owner.accept(customer_message("my invoice", "3", message_id="m-3"))
    # The old owner had it and is gone: only what was said afterwards is delivered for now.
    owner.begin_anew()
    await owner.until_settled(behind)
    await owner.until_settled(poison)
    assert [letter.messages[0].text for letter in owner.dead()] == [POISON]
    assert [one.text for one in owner.shown() if one.role == "customer"] == ["hello", POISON, "my invoice"]
    failed = [one.answers for one in owner.shown() if one.kind == "failed"]
    assert failed == [["m-2"]]
    hot = await Log(owner.bus, subjects.SHARDS).load(CONVERSATION)
    assert hot.last_in_seq == behind and hot.state and hot.state.turn
    waiting = [*hot.state.turn.messages, *hot.state.queue]
    assert [line.text for line in waiting] == ["hello", "my invoice"]


async def test_what_changed_nothing_before_it_is_not_set_aside_in_its_place(owner: Owner) -> None:
    first = await owner.accept(customer_message("hello", "1", message_id="m-1"))
    await owner.until_settled(first)
    await owner.accept(customer_message("hello", "1", message_id="m-1"))
    poison = await owner.accept(customer_message(POISON, "2", message_id="m-2"))
    owner.begin_anew()
    await owner.until_settled(poison)
    assert [letter.messages[0].text for letter in owner.dead()] == [POISON]


async def test_an_entry_gets_its_attempts_before_it_is_set_aside(owner: Owner) -> None:
    poison = await owner.accept(customer_message(POISON, "1", message_id="m-1"))
    for attempt in range(1, MAX_ATTEMPTS + 1):
        await owner.deliver(poison, attempt)
    assert not owner.dead() and owner.returned == [poison] * MAX_ATTEMPTS
    await owner.deliver(poison, MAX_ATTEMPTS + 1)
    assert len(owner.dead()) == 1 and owner.settled == [poison]


async def test_what_was_given_back_is_not_passed_by_what_comes_new(owner: Owner) -> None:
    """An earlier one is there again first, and what is delivered next for the first time follows neither of them."""
    await owner.until_settled(await owner.accept(customer_message("one", "1", message_id="m-1")))
    second = await owner.accept(customer_message("two", "2", message_id="m-2"))
    third = await owner.accept(customer_message("three", "3", message_id="m-3"))
    owner.bus.errors = [TransientError("The log elects."), TransientError("The log elects.")]
    await owner.deliver(second)
    await owner.deliver(third)
    assert owner.returned == [second, third]
    await owner.deliver(second, 2)
    await owner.deliver(await owner.accept(customer_message("four", "4", message_id="m-4")))
    await owner.deliver(third, 2)
    assert [one.text for one in owner.shown() if one.role == "customer"] == ["one", "two", "three", "four"]


async def test_only_what_the_fence_refused_counts_as_refused(owner: Owner) -> None:
    def refused() -> float:
        return float(metrics.REFUSED_WRITES._value.get())

    before = refused()
    owner.bus.errors = [AmbiguousCommitError("No answer in time."), ConflictError("Somebody else has written.")]
    await owner.until_settled(await owner.accept(customer_message()))
    assert refused() - before == 1
