"""Races and crashes on the way out of the log: whoever has just written wins, and what was begun is finished later."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from archiver_servers import MASTER, archiving, client_of, rows, until
from retiring_scene import Scene

from parley_archiver.adapters import PostgresStore
from parley_archiver.app import DURABLE
from parley_archiver.retirement import NotYetError
from parley_archiver.retiring import WHENEVER, Retiring
from parley_archiver.settings import Settings
from parley_archiver.trimming import ALL_WORK, LogEnd
from parley_mesh.bus import Appended, Headers
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.archive import RetireRequest
from parley_proto.envelope import encode, new_id, now_ms
from parley_proto.errors import PermanentError, TransientError
from parley_testkit.nats_server import PASSWORD

pytest_plugins = ("archiver_fixtures", "retiring_fixtures")

MANY, ATTEMPTS = 60, 5
OLDEST = "SELECT (extract(epoch FROM rests_since) * 1000)::bigint FROM archive.checkpoints"
Meanwhile = Callable[[], Awaitable[None]]


class LateBus(NatsBus):
    """Something happens between the look and the marker."""

    meanwhile: Meanwhile

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        await self.meanwhile()
        return await super().append(subject, data, msg_id=msg_id, expect=expect, headers=headers)


class LateEnd(LogEnd):
    """Something happens between the marker and the purge."""

    meanwhile: Meanwhile

    async def trim(self, conversation: str, through: int) -> int:
        await self.meanwhile()
        return await super().trim(conversation, through)


@asynccontextmanager
async def retiring(
    scene: Scene, url: str, *, before_marker: Meanwhile | None = None, before_purge: Meanwhile | None = None
) -> AsyncIterator[Retiring]:
    """Retiring as the archiver does it, with its rights, and what happens in its midst."""
    store = PostgresStore(Settings(database_url=url))
    async with client_of(scene.bench.nats, "archiver") as client:
        bus, end = NatsBus(client), LogEnd(client, subjects.STREAM)
        if before_marker:
            bus = LateBus(client)
            bus.meanwhile = before_marker
        if before_purge:
            end = LateEnd(client, subjects.STREAM)
            end.meanwhile = before_purge
        yield Retiring(bus, end, store, durable=DURABLE, shards=subjects.SHARDS, after_s=0, every_s=1)
    await store.close()


async def archived_and_handled(scene: Scene, url: str) -> None:
    await until(lambda: scene.caught_up(url))
    await until(lambda: scene.handled(1))


async def test_one_that_has_rested_long_enough_goes_by_itself_and_a_younger_one_stays(
    scene: Scene, archive_database: str
) -> None:
    old = await scene.opened()
    async with archiving(scene.bench.nats, archive_database, retire_after_s=10, retire_every_s=0.1):
        await until(lambda: scene.is_retired(old))
        assert now_ms() - (await rows(archive_database, OLDEST))[0][0] >= 10_000
        young = await scene.opened("a young one")
        await archived_and_handled(scene, archive_database)
        assert (await scene.head(young)).data
        await scene.said(old, "I am back", "2")


async def test_work_leaves_the_log_when_it_is_done_and_archived_though_no_conversation_retires(
    scene: Scene, archive_database: str
) -> None:
    await scene.opened()
    waiting = subjects.turn("technical", lane="consult")
    await scene.bus.append(waiting, b"{}")
    assert await work(scene) == {subjects.turn("billing"): 1, waiting: 1}
    async with archiving(scene.bench.nats, archive_database, retire_after_s=0, retire_every_s=0.1):
        await until(lambda: only(scene, {waiting: 1}))
        await scene.opened("another question")
        await until(lambda: only(scene, {waiting: 1}))


async def test_a_conversation_that_writes_before_the_marker_wins(scene: Scene, archive_database: str) -> None:
    conversation = await scene.opened()

    async def go_on() -> None:
        await scene.said(conversation, "one more thing", "2")

    async with (
        archiving(scene.bench.nats, archive_database),
        retiring(scene, archive_database, before_marker=go_on) as late,
    ):
        await archived_and_handled(scene, archive_database)
        with pytest.raises(NotYetError, match="just gone on"):
            await late.retire(conversation, before=WHENEVER)
    assert (await scene.state(conversation)).turns == 2
    assert len(await scene.left(conversation)) == 5


async def test_what_is_said_between_the_marker_and_the_purge_is_answered_and_not_purged(
    scene: Scene, archive_database: str
) -> None:
    conversation = await scene.opened()

    async def come_back() -> None:
        await scene.said(conversation, "one more thing", "2")

    async with (
        archiving(scene.bench.nats, archive_database),
        retiring(scene, archive_database, before_purge=come_back) as late,
    ):
        await archived_and_handled(scene, archive_database)
        await late.retire(conversation, before=WHENEVER)
        state, left = await scene.state(conversation), await scene.left(conversation)
        assert state.turns == 2 and min(left.values()) >= 1
        assert scene.answers(conversation) == ["charged twice", "one more thing"]
        await scene.retire(conversation)
        await until(lambda: scene.is_retired(conversation))


async def test_a_message_that_nobody_has_handled_keeps_its_conversation_in_the_log(
    scene: Scene, archive_database: str
) -> None:
    conversation = await scene.opened()
    async with archiving(scene.bench.nats, archive_database):
        await archived_and_handled(scene, archive_database)
        owner = scene.bench.processes.pop("conversation-1")
        owner.kill()
        owner.wait()
        await scene.bench.send(conversation, "is anybody there", "2")
        await until(lambda: scene.caught_up(archive_database))
        with pytest.raises(TransientError, match="has not been handled yet"):
            await asked(scene, conversation)
        scene.bench.launch("conversation-2")
        await until(scene.answered(conversation, "is anybody there"))


async def test_an_unknown_conversation_and_a_bad_id_are_refused(scene: Scene, archive_database: str) -> None:
    async with archiving(scene.bench.nats, archive_database):
        with pytest.raises(TransientError, match="log has no checkpoint"):
            await asked(scene, new_id("c"))
        for bad in ("", "*", ">", "a.b", "x" * 65):
            with pytest.raises(PermanentError):
                await asked(scene, bad)


async def test_a_crash_between_the_marker_and_the_purge_is_made_good_by_the_next_sweep(
    scene: Scene, archive_database: str
) -> None:
    conversation = await scene.opened()

    async def crash() -> None:
        raise RuntimeError("power cut")

    async with archiving(scene.bench.nats, archive_database):
        await archived_and_handled(scene, archive_database)
    async with retiring(scene, archive_database, before_purge=crash) as late:
        with pytest.raises(RuntimeError, match="power cut"):
            await late.retire(conversation, before=WHENEVER)
    marker = await scene.head(conversation)
    assert not marker.data and await scene.left(conversation)
    async with archiving(scene.bench.nats, archive_database, retire_after_s=0.01, retire_every_s=0.1):
        await until(lambda: scene.is_retired(conversation))
        assert await scene.head(conversation) == marker
        await scene.said(conversation, "I am back", "2")
    assert scene.answers(conversation) == ["charged twice", "I am back"]


async def test_kill_9_of_the_archiver_in_the_midst_of_many_loses_and_repeats_nothing(
    scene: Scene, archive_database: str
) -> None:
    names: list[str] = []
    for _ in range(ATTEMPTS):
        # Whether there are still some is not known before the kill: on a slow machine it may have come too late.
        names += [await scene.opened(f"question {number}") for number in range(len(names), len(names) + MANY)]
        first = launched(scene, archive_database)
        try:
            # The one that has rested longest goes first, the last one would go last.
            await until(lambda first_of=names[-MANY]: marked(scene, first_of))
        finally:
            first.kill()
            first.wait()
        if not await marked(scene, names[-1]):
            break
    assert not await marked(scene, names[-1])
    again = launched(scene, archive_database)
    try:
        for name in names:
            await until(functools.partial(scene.is_retired, name))
        for name in names:
            await scene.bench.send(name, f"back {name}", "2")
        for number, name in enumerate(names):
            await until(scene.answered(name, f"back {name}"))
            assert scene.answers(name) == [f"question {number}", f"back {name}"]
    finally:
        again.terminate()
        again.wait(20)


async def asked(scene: Scene, conversation: str) -> None:
    await scene.bus.request(subjects.ARCHIVE_RETIRE, encode(RetireRequest(conversation)), timeout=10)


async def work(scene: Scene) -> dict[str, int]:
    """How much of it each subject of the log holds."""
    info = await scene.bench.client.jetstream().stream_info(subjects.STREAM, subjects_filter=ALL_WORK)
    return dict(info.state.subjects or {})


async def only(scene: Scene, expected: dict[str, int]) -> bool:
    return await work(scene) == expected


async def marked(scene: Scene, conversation: str) -> bool:
    return not (await scene.head(conversation)).data


def launched(scene: Scene, url: str) -> subprocess.Popen[bytes]:
    """An archiver process, with the rights it has in real life, that retires whatever rests."""
    environ = os.environ | {
        "PARLEY_MESH_NATS_URL": scene.bench.nats.url,
        "PARLEY_MESH_NATS_USER": "archiver",
        "PARLEY_MESH_NATS_PASSWORD": PASSWORD,
        "PARLEY_MESH_HEALTH_PORT": "0",
        "PARLEY_ARCHIVER_DATABASE_URL": url,
        "PARLEY_ARCHIVER_MASTER_KEY": MASTER,
        "PARLEY_ARCHIVER_RETIRE_AFTER_S": "0.01",
        "PARLEY_ARCHIVER_RETIRE_EVERY_S": "0.1",
    }
    with (scene.bench.nats.folder / "archiver.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "parley_archiver"], env=environ, stderr=log)
