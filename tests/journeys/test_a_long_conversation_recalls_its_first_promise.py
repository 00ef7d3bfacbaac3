"""Two hundred turns on a real mesh: what was promised in the first is known in the last, and checkpoints stay small."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from parley_cli.client import Answer, Conversation, Door, door
from parley_mesh.connection import connect
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.conversation import Checkpoint, Entry, SummaryWritten
from parley_proto.envelope import decode
from parley_testkit.mesh import RunningMesh

TURNS = 200
LIMIT = 32_768
ANSWER_S = 30
CHARGED = "I was charged twice for my last order"
ASKS = [
    "How long does a refund take to reach my card?",
    "Show me my invoices",
    "What can I pay with, and do you take cheques?",
    "Where is my refund?",
    "How is the VAT on my invoice worked out?",
    "Was I charged for something in the last month that I did not order myself?",
    "Which payments have I made so far?",
]


async def test_the_last_of_200_turns_recalls_what_the_first_promised(mesh: RunningMesh) -> None:
    async with door(mesh.url) as way, reading(mesh) as log:
        await _talk(way, log)


async def _talk(way: Door, log: NatsBus) -> None:
    async with offered(way) as talk:
        done = await talk.say("yes please", ANSWER_S)
        promise = done.text.partition(";")[0]
        assert promise.startswith("I have refunded ")
        sizes = []
        for number in range(TURNS - 3):
            await talk.say(ASKS[number % len(ASKS)], ANSWER_S)
            sizes.append(await size_of_checkpoint(log, talk.thread))
        state = await checkpoint(log, talk.thread)
        told = await talk.say("What did you promise me at the beginning?", ANSWER_S)
        assert promise in told.text
        assert any(
            note.text.startswith(promise) and note.message_ids == [done.message_id] for note in state.recap.promises
        )
        assert promise not in "".join(line.text for line in state.window)
        assert max(sizes) <= LIMIT and state.turns >= TURNS - 1
        summaries = await written(log, talk.thread)
        assert summaries > 3
        print(f"{summaries} summaries, checkpoints of at most {max(sizes)} bytes")


@asynccontextmanager
async def offered(way: Door) -> AsyncIterator[Conversation]:
    """A conversation with a customer who is offered a refund: each new one is another made-up customer."""
    for _ in range(12):
        async with Conversation(way) as talk:
            answer: Answer = await talk.say(CHARGED, ANSWER_S)
            if answer.kind == "offer":
                yield talk
                return
    raise AssertionError("no customer out of twelve was charged twice")


@asynccontextmanager
async def reading(mesh: RunningMesh) -> AsyncIterator[NatsBus]:
    client = await connect(mesh.operator(), "operator")
    try:
        yield NatsBus(client)
    finally:
        await client.close()


async def size_of_checkpoint(log: NatsBus, conversation: str) -> int:
    stored = await log.last(subjects.checkpoint(conversation))
    assert stored is not None
    return len(stored.data)


async def checkpoint(log: NatsBus, conversation: str) -> Checkpoint:
    stored = await log.last(subjects.checkpoint(conversation))
    assert stored is not None
    state: Checkpoint = decode(stored.data, Checkpoint)
    return state


async def written(log: NatsBus, conversation: str) -> int:
    """How many summaries are in the conversation's log."""
    count, seq = 0, 0
    while stored := await log.next(subjects.conv(conversation), seq):
        entry: Entry = decode(stored.data, Entry)
        count += isinstance(entry, SummaryWritten)
        seq = stored.seq
    return count
