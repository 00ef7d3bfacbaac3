"""A retired conversation, seen from the customer's side: real gateway, owner, archiver, log and PostgreSQL."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import gateway_on_nats
from archiver_log import erase
from archiver_servers import archiving, until
from gateway_fixtures import Client, House, Run, user
from retiring_scene import Scene

from parley_archiver.domain import owner_of
from parley_gateway.domain import thread_conversation
from parley_proto import subjects
from parley_proto.envelope import Identity

pytest_plugins = ("archiver_fixtures", "retiring_fixtures")


def gateway(scene: Scene) -> AbstractAsyncContextManager[House]:
    """A gateway under its own user, on the scene's log."""
    return gateway_on_nats.gateway(scene.bench.nats, shards=subjects.SHARDS, owner=scene.bus)


async def test_who_returns_is_told_that_the_log_was_reset_and_shown_what_is_remembered(
    scene: Scene, archive_database: str
) -> None:
    async with gateway(scene) as house, archiving(scene.bench.nats, archive_database):
        async with house.client() as before:
            await before.say("I was charged twice")
            await before.until("RUN_FINISHED")
            thread, shown = before.thread, before.screen.texts()
        await scene.retire(thread)
        async with house.client(thread, since=before.seq) as after:
            assert after.resume == "reset"
            await after.until("MESSAGES_SNAPSHOT")
            assert after.screen.texts() == shown
            await after.say("and then again", "2")
            await after.until("RUN_FINISHED")
            assert list(after.screen.texts().values()) == [*shown.values(), "and then again"]
            assert after.seq > before.seq
        async with house.client(thread) as anew:
            await anew.until("MESSAGES_SNAPSHOT")
            assert (anew.resume, anew.screen.texts()) == ("reset", after.screen.texts())
    assert (await scene.state(thread)).turns == 2


async def test_a_place_beyond_its_end_and_somebody_elses_id_are_refused_as_before(
    scene: Scene, archive_database: str
) -> None:
    async with gateway(scene) as house, archiving(scene.bench.nats, archive_database):
        theirs = await scene.opened(identity=Identity("default", "somebody-else", "cus_0002"))
        await scene.retire(theirs)
        assert await refused(house, theirs, 0) == "unknown_conversation"
        async with house.client() as mine:
            await mine.say("I was charged twice")
            await mine.until("RUN_FINISHED")
        await scene.retire(mine.thread)
        assert await refused(house, mine.thread, 1 << 40) == "bad_seq"


async def test_while_the_archive_is_away_who_returns_is_asked_to_try_again_and_others_are_served(
    scene: Scene, archive_database: str
) -> None:
    async with gateway(scene) as house:
        async with archiving(scene.bench.nats, archive_database):
            async with house.client() as before:
                await before.say("I was charged twice")
                await before.until("RUN_FINISHED")
            await scene.retire(before.thread)
        assert await refused(house, before.thread, before.seq) == "unavailable"
        async with house.client() as another:
            await another.say("I was charged twice as well")
            await another.until("RUN_FINISHED")
        async with archiving(scene.bench.nats, archive_database), house.client(before.thread) as after:
            assert after.resume == "reset"


async def test_an_erased_conversation_is_nobodys_and_a_stock_client_begins_it_anew(
    scene: Scene, archive_database: str
) -> None:
    async with gateway(scene) as house, archiving(scene.bench.nats, archive_database):
        await Run(house, [user("my name is four canaries")]).post()
        conversation = thread_conversation("default", "anonymous", "thread-1")
        before = await scene.state(conversation)
        await scene.retire(conversation)
        await erase(scene.bench.client, owner_of(before.identity).root)
        assert await refused(house, conversation, 0) == "unknown_conversation"
        again = await Run(house, [user("hello again", "u-2")]).post()
        assert "hello again" in again.screen.texts().values()
    await until(scene.answered(conversation, "hello again"))
    after = await scene.state(conversation)
    assert after.identity == before.identity and after.turns == 2 and after.epoch == before.epoch + 1
    assert "canaries" not in str(after)


async def refused(house: House, thread: str, since: int) -> str:
    """The code with which a hello is turned away."""
    async with house.dial() as socket:
        client = Client(socket)
        await client.send({"type": "hello", "ticket": await house.ticket(), "threadId": thread, "since": since})
        return await client.error()
