"""The places among the open batches: no more than half of them are taken by turns that would only begin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from parley_conversation.adapters import Hot, Log
from parley_conversation.domain import decide
from parley_conversation.transition import Facts, Transition
from parley_mesh.bus import Write
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.conversation import CancelRequested
from parley_proto.specialist import RouteHint
from parley_testkit.bench import until
from parley_testkit.samples import AT, IDENTITY, customer_message

PLACES = 4
RUNNING = "conversation-that-runs"


class BusyBus(MemoryBus):
    """A log that takes whatever comes, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.answers = asyncio.Event()

    async def commit(self, batch: Sequence[Write]) -> int:
        self.open.append(batch[-1].subject.rpartition(".")[2])
        await self.answers.wait()
        return 9


def beginning(conversation: str) -> Transition:
    facts = Facts(conversation, 1, AT, 60_000, ["billing"], RouteHint("billing", 1.0))
    transition = decide(None, customer_message("I was charged twice", "1", message_id=f"m-{conversation}"), facts)
    assert transition and transition.assign
    return transition


@pytest.mark.parametrize("places", [PLACES, 1])
async def test_a_turn_that_ends_is_committed_while_others_wait_to_begin(places: int) -> None:
    bus = BusyBus()
    log = Log(bus, subjects.SHARDS, places)
    begun = beginning(RUNNING)
    ended = decide(begun.state, CancelRequested(IDENTITY, AT), Facts(RUNNING, 2, AT, 60_000, ["billing"]))
    assert ended and not ended.assign
    names = [f"conversation-{number:04}" for number in range(3 * PLACES)]
    tasks = [asyncio.create_task(log.commit(Hot(None, 0, 0), beginning(name))) for name in names]
    share = max(1, places // 2)
    await until(lambda: len(bus.open) == share, 10)
    tasks.append(asyncio.create_task(log.commit(Hot(begun.state, 1, 1), ended)))
    if places > 1:
        await until(lambda: RUNNING in bus.open, 10)
        assert bus.open == [*names[:share], RUNNING]
    bus.answers.set()
    await asyncio.gather(*tasks)
    assert sorted(bus.open) == sorted([*names, RUNNING])
