from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from parley_conversation.adapters import Log
from parley_conversation.domain import decide
from parley_conversation.transition import Facts
from parley_mesh.archive import recall
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.archive import RETIRED, CheckpointReply, CheckpointRequest
from parley_proto.conversation import CancelRequested, Checkpoint
from parley_proto.envelope import Identity, decode, encode
from parley_proto.errors import ConflictError, PermanentError, TransientError
from parley_testkit.samples import AT, CONVERSATION, IDENTITY, MESSAGES, customer_message

STATE = msgspec.structs.replace(
    next(message for message in MESSAGES if isinstance(message, Checkpoint)), turn=None, window=[], turns=4, epoch=3
)
FACTS = Facts(CONVERSATION, 50, AT, 60_000, ["billing"])
Answer = Callable[[bytes, dict[str, str]], Awaitable[bytes]]


def archive(revision: int = 7, state: Checkpoint = STATE) -> Answer:
    async def answer(data: bytes, _headers: dict[str, str]) -> bytes:
        assert decode(data, CheckpointRequest).conversation == CONVERSATION
        return encode(CheckpointReply(state, revision))

    return answer


async def refuse(_data: bytes, _headers: dict[str, str]) -> bytes:
    raise PermanentError("The archive has no checkpoint of it.", code="unknown_conversation")


async def retired(answer: Answer | None) -> MemoryBus:
    bus = MemoryBus()
    headers = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", RETIRED: "7"}
    await bus.append(subjects.checkpoint(CONVERSATION), b"", headers=headers)
    if answer:
        bus.serve(subjects.ARCHIVE_CHECKPOINT, answer)
    return bus


async def test_a_load_brings_it_back_and_the_next_commit_is_fenced_by_the_marker() -> None:
    bus = await retired(archive())
    log = Log(bus, subjects.SHARDS)
    hot = await log.load(CONVERSATION)
    marker = await bus.last(subjects.checkpoint(CONVERSATION))
    assert marker and (hot.state, hot.revision, hot.last_in_seq) == (STATE, marker.seq, STATE.last_in_seq)
    transition = decide(hot.state, customer_message("back again", "9", message_id="m-9"), FACTS)
    assert transition is not None and transition.state.turns == 4 and transition.state.epoch >= 3
    await log.commit(hot, transition)
    with pytest.raises(ConflictError):
        await log.commit(hot, transition)


@pytest.mark.parametrize("answer", [None, refuse, archive(revision=6)], ids=["nobody answers", "unknown", "older"])
async def test_without_that_very_checkpoint_a_load_is_to_be_tried_again(answer: Answer | None) -> None:
    bus = await retired(answer)
    with pytest.raises(TransientError) as waits:
        await Log(bus, subjects.SHARDS).load(CONVERSATION)
    # An ambiguous outcome would be looked up again at once, five times.
    assert type(waits.value) is TransientError and CONVERSATION in waits.value.message


async def test_a_marker_of_somebody_else_brings_back_the_newest_that_the_archive_has() -> None:
    bus = MemoryBus()
    await bus.append(subjects.checkpoint(CONVERSATION), b"", headers={"KV-Operation": "DEL"})
    bus.serve(subjects.ARCHIVE_CHECKPOINT, archive(revision=3))
    marker = await bus.last(subjects.checkpoint(CONVERSATION))
    assert marker and await recall(bus, CONVERSATION, marker) == STATE


def test_what_was_erased_is_theirs_who_speaks_next_and_its_old_ids_are_not_answered_again() -> None:
    erased = msgspec.structs.replace(STATE, identity=Identity(IDENTITY.tenant, "", ""), recent={"m-1": ""}, owner="")
    opened = decide(erased, customer_message("hello", "9", message_id="m-9"), FACTS)
    assert opened and opened.state.identity == IDENTITY
    assert (opened.state.turns, opened.state.epoch) == (STATE.turns, STATE.epoch)
    known = decide(erased, customer_message("hello", "1", message_id="m-1"), FACTS)
    assert known and known.assign is None and len(known.shown) == 1
    assert decide(erased, CancelRequested(IDENTITY, AT), FACTS) is None
