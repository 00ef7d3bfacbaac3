"""What ownership of a shard relies on: one client is pinned, loses the pin when it stops pulling, and is told."""

from __future__ import annotations

import pytest
from places import GROUP, LONG_S, Place, Worker, durable, until, worker

from parley_mesh.bus import Write
from parley_proto import subjects
from parley_proto.errors import ConflictError

PINNED = {"priority_policy": "pinned_client", "priority_groups": [GROUP], "priority_timeout": 2_000_000_000}
UNPIN = f"$JS.API.CONSUMER.UNPIN.{subjects.STREAM}.shard"


async def put(where: Place, cid: str, text: str) -> None:
    await where.bus.append(subjects.conv(cid), text.encode())


async def owner(where: Place, cid: str) -> Worker:
    """A client that was given the pin with its first message, 'a'."""
    await durable(where, "shard", "conv.*.*", ack_wait=30_000_000_000, **PINNED)
    one = await worker(where, "shard")
    await one.pull(batch=9, group=GROUP)
    await put(where, cid, "a")
    await until(where, lambda: one.texts == ["a"])
    assert one.pin
    return one


async def test_only_the_pinned_client_is_served(where: Place, cid: str) -> None:
    one = await owner(where, cid)
    two = await worker(where, "shard")
    await two.pull(batch=9, group=GROUP)
    for text in ("b", "c"):
        await put(where, cid, text)
    await until(where, lambda: one.texts == ["a", "b", "c"])
    assert len({message.headers["Nats-Pin-Id"] for message in one.got if message.headers}) == 1
    assert two.got == []


async def test_pulling_keeps_the_pin(where: Place, cid: str) -> None:
    one = await owner(where, cid)
    two = await worker(where, "shard")
    await two.pull(batch=9, expires_s=30, group=GROUP)
    for _ in range(4):
        await where.pass_time(0.7)
        await one.pull(group=GROUP, id=one.pin)
    await put(where, cid, "b")
    await until(where, lambda: one.texts == ["a", "b"])
    assert two.got == []


async def test_whoever_stops_pulling_is_followed_by_who_waits_and_told_when_it_comes_back(
    where: Place, cid: str
) -> None:
    one = await owner(where, cid)
    two = await worker(where, "shard")
    await two.pull(batch=9, expires_s=30, group=GROUP)
    await where.pass_time(LONG_S)
    await put(where, cid, "b")
    await until(where, lambda: two.texts == ["b"])
    assert two.pin and two.pin != one.pin
    await one.pull(group=GROUP, id=one.pin)
    await until(where, lambda: "423" in one.statuses)
    assert one.texts == ["a"]


async def test_unpinning_hands_over_at_once(where: Place, cid: str) -> None:
    one = await owner(where, cid)
    two = await worker(where, "shard")
    await two.pull(batch=9, group=GROUP)
    await where.wire.request(UNPIN, b'{"group":"owner"}', timeout=2)
    await one.pull(group=GROUP, id=one.pin)
    await put(where, cid, "b")
    await until(where, lambda: two.texts == ["b"] and "423" in one.statuses)
    assert one.texts == ["a"] and two.pin != one.pin


async def test_a_pin_is_not_exclusive_so_what_a_zombie_writes_has_to_be_fenced(where: Place, cid: str) -> None:
    one = await owner(where, cid)
    two = await worker(where, "shard")
    await two.pull(batch=9, expires_s=30, group=GROUP)
    await where.pass_time(LONG_S)
    await put(where, cid, "b")
    await until(where, lambda: two.texts == ["b"])
    checkpoint = subjects.checkpoint(cid)
    await where.bus.commit([Write(checkpoint, b"two's", {"Nats-Rollup": "sub"}, 0)])
    # The zombie holds the delivery of 'a' and believes that it owns the shard.
    with pytest.raises(ConflictError):
        await where.bus.commit([Write(checkpoint, b"one's", {"Nats-Rollup": "sub"}, 0)])
    await one.got[0].ack()
    kept = await where.bus.last(checkpoint)
    assert kept is not None and kept.data == b"two's"


async def test_a_pull_without_the_group_is_refused(where: Place, cid: str) -> None:
    await durable(where, "shard", "conv.*.*", **PINNED)
    one = await worker(where, "shard")
    await one.pull()
    await until(where, lambda: one.statuses == ["400"])
