"""One suite for the bus in memory and the one on NATS: what the rest of Parley may rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from places import TOPOLOGY, place

from parley_mesh.bus import Bus, Write
from parley_mesh.memory import MemoryBus, matches
from parley_proto import subjects
from parley_proto.errors import AmbiguousCommitError, ConflictError, TransientError


@pytest.fixture(params=["memory", "memory by itself", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """The bus without a server, and the real one on a server in memory and on a real one."""
    if request.param == "memory":
        yield MemoryBus(duplicate_window_s=TOPOLOGY.duplicate_window_s)
        return
    async with place(request.param) as where:
        yield where.bus


async def test_a_resent_message_is_stored_once(bus: Bus, cid: str) -> None:
    first = await bus.append(subjects.conv(cid), b"a", msg_id="same")
    second = await bus.append(subjects.conv(cid), b"b", msg_id="same")
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.seq == second.seq
    stored = await bus.at(first.seq)
    assert stored is not None and stored.data == b"a"


async def test_an_id_is_known_for_its_window_and_no_longer(bus: Bus, cid: str) -> None:
    first = await bus.append(subjects.conv(cid), b"a", msg_id="same")
    async with asyncio.timeout(TOPOLOGY.duplicate_window_s + 3):
        while (again := await bus.append(subjects.conv(cid), b"a", msg_id="same")).duplicate:
            await asyncio.sleep(0.05)
    assert again.seq > first.seq


async def test_a_failed_expectation_is_told_before_a_known_id(bus: Bus, cid: str) -> None:
    await bus.append(subjects.conv(cid), b"a", msg_id="same")
    with pytest.raises(ConflictError):
        await bus.append(subjects.conv(cid), b"a", msg_id="same", expect=0)


async def test_a_batch_is_stored_whole_and_its_last_member_has_the_sequence(bus: Bus, cid: str) -> None:
    seq = await bus.commit([Write(subjects.out(cid), b"1"), Write(subjects.out(cid), b"2"), _checkpoint(cid, 0)])
    stored = await bus.last(subjects.checkpoint(cid))
    assert stored is not None and stored.seq == seq
    first = await bus.next(subjects.out(cid), 0)
    assert first is not None and first.data == b"1"
    second = await bus.next(subjects.out(cid), first.seq)
    assert second is not None and second.data == b"2"
    assert await bus.next(subjects.out(cid), second.seq) is None


async def test_a_batch_over_an_old_version_leaves_nothing_behind(bus: Bus, cid: str) -> None:
    await bus.commit([Write(subjects.out(cid), b"mine"), _checkpoint(cid, 0)])
    with pytest.raises(ConflictError):
        await bus.commit([Write(subjects.out(cid), b"zombie"), _checkpoint(cid, 0)])
    last = await bus.last(subjects.out(cid))
    assert last is not None and last.data == b"mine"


async def test_a_batch_with_an_id_that_is_known_is_refused_whole(bus: Bus, cid: str) -> None:
    await bus.append(subjects.conv(cid), b"a", msg_id="known")
    known = Write(subjects.conv(cid), b"b", {"Nats-Msg-Id": "known"})
    with pytest.raises(AmbiguousCommitError):
        await bus.commit([Write(subjects.out(cid), b"x"), known])
    assert await bus.last(subjects.out(cid)) is None


async def test_the_ids_of_a_refused_batch_are_not_used_up(bus: Bus, cid: str) -> None:
    mine = Write(subjects.conv(cid), b"a", {"Nats-Msg-Id": "mine"})
    with pytest.raises(ConflictError):
        await bus.commit([mine, _checkpoint(cid, 99)])
    await bus.commit([mine, _checkpoint(cid, 0)])
    stored = await bus.last(subjects.conv(cid))
    assert stored is not None and stored.data == b"a"


async def test_an_id_may_stand_only_once_in_a_batch(bus: Bus, cid: str) -> None:
    mine = Write(subjects.conv(cid), b"a", {"Nats-Msg-Id": "mine"})
    with pytest.raises(AmbiguousCommitError):
        await bus.commit([mine, mine])
    assert await bus.last(subjects.conv(cid)) is None


async def test_a_batch_can_expect_nothing_of_what_it_writes_itself(bus: Bus, cid: str) -> None:
    seq = (await bus.append(subjects.out(cid), b"0")).seq
    for expected in (seq, seq + 1):
        with pytest.raises(ConflictError):
            await bus.commit([Write(subjects.out(cid), b"1"), Write(subjects.out(cid), b"2", {}, expected)])
    last = await bus.last(subjects.out(cid))
    assert last is not None and last.seq == seq


async def test_a_batch_replaces_a_checkpoint_once(bus: Bus, cid: str) -> None:
    with pytest.raises(TransientError, match="rollup"):
        await bus.commit([_rollup(cid), _rollup(cid)])
    assert await bus.last(subjects.checkpoint(cid)) is None


async def test_the_newest_of_many_subjects_is_found_too(bus: Bus, cid: str) -> None:
    await bus.append(subjects.out(cid), b"1")
    await bus.append(subjects.out(cid[::-1]), b"2")
    last = await bus.last("out.*")
    assert last is not None and last.data == b"2"


async def test_one_checkpoint_is_kept_per_conversation(bus: Bus, cid: str) -> None:
    first = await bus.commit([Write(subjects.out(cid), b"1"), _checkpoint(cid, 0)])
    await bus.commit([Write(subjects.out(cid), b"2"), _checkpoint(cid, first)])
    assert await bus.at(first) is None


async def test_of_many_writers_over_the_same_version_one_wins(bus: Bus, cid: str) -> None:
    results = await asyncio.gather(
        *(bus.append(subjects.effect("k" * 20), b"intent", expect=0) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(result, ConflictError) for result in results) == 9


async def test_listeners_hear_their_pattern_until_they_close(bus: Bus, cid: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def listener(subject: str, data: bytes, _headers: dict[str, str]) -> None:
        heard.put_nowait(f"{subject} {data.decode()}")

    listening = await bus.listen("live.*", listener)
    await bus.publish(f"live.{cid}", b"x")
    assert await asyncio.wait_for(heard.get(), 2) == f"live.{cid} x"
    await listening.close()
    await bus.publish(f"live.{cid}", b"y")
    assert heard.empty()


async def test_a_request_to_nobody_fails_at_once(bus: Bus) -> None:
    with pytest.raises(TransientError) as caught:
        await bus.request("nobody.here", b"", timeout=5)
    assert caught.value.code == "no_responders"
    with pytest.raises(TransientError):
        await anext(bus.stream("nobody.here", b"", idle=5))


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("conv.*.*", "conv.1.c", True),
        ("conv.*", "conv.1.c", False),
        ("$KV.conversations.>", "$KV.conversations.c", True),
        (">", "a", True),
        ("a.>", "a", False),
        ("out.*", "out.[x]", True),
        ("out.[x]", "out.x", False),
    ],
)
def test_wildcards_match_whole_tokens_only(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected


def _rollup(cid: str) -> Write:
    return Write(subjects.checkpoint(cid), b"{}", {"Nats-Rollup": "sub"})


def _checkpoint(cid: str, expect: int) -> Write:
    return Write(subjects.checkpoint(cid), b"{}", {"Nats-Rollup": "sub", "Nats-TTL": "never"}, expect)
