"""What deadlines rely on: a message for later, one a subject, on the log of its target when its time has come."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from places import Place, durable, until, worker

from parley_mesh.bus import Write
from parley_mesh.commits import Commits
from parley_proto import subjects
from parley_proto.errors import ConflictError

MILLISECOND = 1_000_000


def later(where: Place, cid: str, text: str, seconds: float, expect: int | None = None) -> Write:
    """For the next full second after `seconds` from now, as the conversation service asks for it."""
    when = -(-(where.now() + round(seconds * 1000)) // 1000)
    stamp = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {"Nats-Schedule": f"@at {stamp}", "Nats-Schedule-Target": subjects.conv(cid)}
    return Write(subjects.due(cid), text.encode(), headers, expect)


async def test_a_message_for_later_arrives_in_time_and_leaves_its_place(where: Place, cid: str) -> None:
    await durable(where, "log", "conv.*.*", ack_wait=30_000 * MILLISECOND)
    one = await worker(where, "log")
    await one.pull(batch=5, expires_s=10)
    asked = where.now()
    await where.bus.commit([Write(subjects.out(cid), b"shown"), later(where, cid, "due", 1)])
    assert await where.bus.last(subjects.conv(cid)) is None
    await until(where, lambda: one.texts == ["due"])
    assert 980 <= where.now() - asked <= 3_000
    assert await where.bus.last(subjects.due(cid)) is None
    stored = await where.bus.last(subjects.conv(cid))
    assert stored is not None
    assert not {"Nats-Schedule", "Nats-Schedule-Target", "Nats-Rollup"} & set(stored.headers)
    assert stored.headers["Nats-Scheduler"] == subjects.due(cid)


async def test_the_newest_takes_the_place_of_the_last(where: Place, cid: str) -> None:
    await durable(where, "log", "conv.*.*", ack_wait=30_000 * MILLISECOND)
    one = await worker(where, "log")
    await one.pull(batch=5, expires_s=10)
    for text in ("first", "second"):
        await where.bus.commit([Write(subjects.out(cid), b"shown"), later(where, cid, text, 1)])
    await until(where, lambda: len(one.got) >= 1)
    await where.pass_time(1.2)
    assert one.texts == ["second"]


async def test_a_time_that_is_past_means_now(where: Place, cid: str) -> None:
    await durable(where, "log", "conv.*.*", ack_wait=30_000 * MILLISECOND)
    one = await worker(where, "log")
    await one.pull(batch=5, expires_s=10)
    await where.bus.commit([later(where, cid, "late", -5)])
    await until(where, lambda: one.texts == ["late"])


async def test_a_refused_batch_schedules_nothing(where: Place, cid: str) -> None:
    stale = Write(subjects.checkpoint(cid), b"{}", {}, 99)
    with pytest.raises(ConflictError):
        await where.bus.commit([later(where, cid, "never", 0.1), stale])
    await where.pass_time(2.2)
    assert await where.bus.last(subjects.conv(cid)) is None
    assert await where.bus.last(subjects.due(cid)) is None


async def test_each_of_many_batches_is_told_its_own_place_among_others(where: Place, cid: str) -> None:
    """Groups of them, with all that a transition may hold, while others write to the stream as well."""
    commits, names = Commits(where.bus), [f"{cid}-{number}" for number in range(30)]

    async def talk(name: str) -> None:
        revision = 0
        for _ in range(4):
            kept = Write(subjects.checkpoint(name), b"state", {"Nats-Rollup": "sub", "Nats-TTL": "never"}, revision)
            revision = await commits.commit([Write(subjects.out(name), b"word"), later(where, name, "due", 60), kept])
            stored = await where.bus.last(subjects.checkpoint(name))
            assert stored is not None and stored.seq == revision
            await where.bus.append(subjects.conv(name), b"from somebody else")

    await asyncio.gather(*map(talk, names))

    def after(name: str, revision: int) -> list[Write]:
        kept = Write(subjects.checkpoint(name), b"state", {"Nats-Rollup": "sub"}, revision)
        return [Write(subjects.out(name), b"last word"), kept]

    # One of a group is stale: nothing of it is stored, and all of the others.
    current = {name: stored.seq for name in names if (stored := await where.bus.last(subjects.checkpoint(name)))}
    asked = [commits.commit(after(name, 1 if name == names[7] else current[name])) for name in names]
    told = await asyncio.gather(*asked, return_exceptions=True)
    for name, seq in zip(names, told, strict=True):
        stored = await where.bus.last(subjects.checkpoint(name))
        said = await where.bus.last(subjects.out(name))
        assert stored is not None and said is not None
        if name == names[7]:
            assert isinstance(seq, ConflictError) and (stored.seq, said.data) == (current[name], b"word")
        else:
            assert (stored.seq, said.data) == (seq, b"last word")
