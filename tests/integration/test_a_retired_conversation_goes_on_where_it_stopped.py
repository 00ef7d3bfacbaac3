"""Talk, retire, talk again: real conversation processes, a real log and PostgreSQL, the archiver's own rights."""

from __future__ import annotations

import asyncio

import msgspec
from archiver_log import erase
from archiver_servers import administer, archiving, crash, rows, until
from retiring_scene import Scene

from parley_archiver.domain import owner_of
from parley_proto import subjects
from parley_proto.archive import RETIRED, CheckpointReply, CheckpointRequest
from parley_proto.conversation import Checkpoint
from parley_proto.envelope import decode, digest, encode
from parley_testkit.postgres import Postgres
from parley_testkit.samples import IDENTITY

pytest_plugins = ("archiver_fixtures", "retiring_fixtures")


async def test_it_comes_back_with_its_counters_and_nothing_is_answered_twice(
    scene: Scene, archive_database: str
) -> None:
    conversation, other = await scene.opened(), await scene.opened("another one")
    await scene.said(conversation, "and then again", "2")
    effect = subjects.effect(digest("effect", conversation))
    await scene.bus.append(effect, b"{}")
    before, untouched = await scene.state(conversation), await scene.left(other)
    revision = (await scene.head(conversation)).seq
    async with archiving(scene.bench.nats, archive_database):
        await scene.retire(conversation)
        marker = await scene.head(conversation)
        assert marker.data == b"" and marker.headers[RETIRED] == str(revision)
        assert await scene.left(conversation) == {} and await scene.left(other) == untouched
        assert await scene.bus.last(effect) is not None
        seq = await scene.resent(conversation, "charged twice", "1")
        await until(lambda: scene.handled(seq))
        assert scene.answers(conversation) == ["charged twice", "and then again"]
        await scene.said(conversation, "I am back", "3")
    after = await scene.state(conversation)
    assert (after.owner, after.epoch, after.turns) == (before.owner, before.epoch, before.turns + 1)
    assert list(after.recent) == [*before.recent, digest("default", conversation, "3")]
    assert [line.text for line in after.window][: len(before.window)] == [line.text for line in before.window]
    assert scene.answers(conversation) == ["charged twice", "and then again", "I am back"]


async def test_while_postgres_is_away_nothing_retires_and_only_those_who_come_back_wait(
    scene: Scene, archive_own_cluster: Postgres
) -> None:
    retired, resting = await scene.opened(), await scene.opened("resting")
    url = archive_own_cluster.url()
    async with archiving(scene.bench.nats, url):
        await scene.retire(retired)
    # A second archiver, since the first one would sweep before PostgreSQL is gone.
    await asyncio.to_thread(crash, archive_own_cluster)
    async with archiving(scene.bench.nats, url, retire_after_s=0.01, retire_every_s=0.1) as service:
        await scene.bench.send(retired, "I am back", "2")
        await scene.said(await scene.opened("a new one"), "and its second", "2")
        assert scene.answers(retired) == ["charged twice"]
        assert (await scene.head(resting)).data and "PostgreSQL" in service.ready()
        await archive_own_cluster.start()
        await until(scene.answered(retired, "I am back"))
        await until(lambda: scene.is_retired(resting))
    assert scene.answers(retired) == ["charged twice", "I am back"]


async def test_without_an_archiver_it_waits_and_is_never_begun_at_0(scene: Scene, archive_database: str) -> None:
    conversation = await scene.opened()
    async with archiving(scene.bench.nats, archive_database):
        await scene.retire(conversation)
    marker = await scene.head(conversation)
    await scene.bench.send(conversation, "I am back", "2")
    # The next one in the same process has come and gone, so the entry before it was tried too.
    await scene.opened("a new one")
    assert await scene.head(conversation) == marker
    async with archiving(scene.bench.nats, archive_database):
        await until(scene.answered(conversation, "I am back"))
    assert (await scene.state(conversation)).turns == 2


async def test_an_archive_that_lost_the_newest_checkpoint_or_has_a_changed_one_is_not_believed(
    scene: Scene, archive_database: str
) -> None:
    async with archiving(scene.bench.nats, archive_database):
        conversation = await scene.opened()
        await until(lambda: scene.caught_up(archive_database))
        await administer(archive_database, "CREATE TABLE archive.older AS SELECT * FROM archive.checkpoints")
        await scene.said(conversation, "and then again", "2")
        await scene.retire(conversation)
        await administer(archive_database, "CREATE TABLE archive.newer AS SELECT * FROM archive.checkpoints")
        revision = (await scene.head(conversation)).headers[RETIRED]
        await administer(archive_database, *restored("older"))
        await scene.bench.send(conversation, "I am back", "3")
        await until(lambda: said_by_owner(scene, f"but {revision} is the newest"))
        await administer(archive_database, *restored("newer"), "UPDATE archive.checkpoints SET turn_id = 'x'")
        await until(lambda: said_by_owner(scene, "was changed: restore it"))
        assert not (await scene.head(conversation)).data
        await administer(archive_database, *restored("newer"))
        await until(scene.answered(conversation, "I am back"))
    assert (await scene.state(conversation)).turns == 3


async def test_an_erased_customer_begins_anew_under_the_same_counters_and_without_a_word(
    scene: Scene, archive_database: str
) -> None:
    conversation = await scene.opened("my name is four canaries")
    before = await scene.state(conversation)
    async with archiving(scene.bench.nats, archive_database):
        await scene.retire(conversation)
        await erase(scene.bench.client, owner_of(IDENTITY).root)
        reply = await recalled(scene, conversation)
        assert reply.erased and reply.checkpoint.identity == msgspec.structs.replace(
            IDENTITY, principal="", customer_id="", name="", groups=[]
        )
        assert b"canaries" not in encode(reply)
        kept = await rows(archive_database, "SELECT * FROM archive.checkpoints")
        assert not any("canaries" in str(value) for value in kept[0].values())
        seq = await scene.resent(conversation, "my name is four canaries", "1")
        await until(lambda: scene.handled(seq))
        await scene.said(conversation, "hello again", "2")
    after = await scene.state(conversation)
    assert (after.turns, after.epoch) == (before.turns + 1, before.epoch + 1)
    assert after.identity == IDENTITY and "canaries" not in str(after.window)
    assert scene.answers(conversation).count("my name is four canaries") == 1


async def recalled(scene: Scene, conversation: str) -> CheckpointReply:
    request = encode(CheckpointRequest(conversation))
    reply: CheckpointReply = decode(
        await scene.bus.request(subjects.ARCHIVE_CHECKPOINT, request, timeout=10), CheckpointReply
    )
    assert isinstance(reply.checkpoint, Checkpoint)
    return reply


def restored(copy: str) -> tuple[str, str]:
    return "DELETE FROM archive.checkpoints", f"INSERT INTO archive.checkpoints SELECT * FROM archive.{copy}"


async def said_by_owner(scene: Scene, words: str) -> bool:
    return words in (scene.bench.nats.folder / "conversation-1.log").read_text("utf-8")
