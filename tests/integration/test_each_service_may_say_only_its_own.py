"""Least privilege on a real server: who may write what, and that a denial is named in the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from nats.aio.msg import Msg

from parley_mesh import topology
from parley_mesh.jetstream import NatsBus
from parley_mesh.tail import Tail
from parley_proto import subjects
from parley_proto.errors import ParleyError, TransientError
from parley_testkit.bench import until
from parley_testkit.nats_server import SPECIALTIES, NatsServer

CID = "c" + "A" * 22


@pytest.fixture
async def server() -> AsyncIterator[NatsServer]:
    async with NatsServer() as server:
        await topology.apply(await server.connect(), SPECIALTIES)
        yield server


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("billing", subjects.checkpoint(CID)),
        ("billing", subjects.out(CID)),
        ("billing", subjects.card("technical")),
        ("billing", subjects.turn("technical")),
        ("gateway", subjects.checkpoint(CID)),
        ("gateway", subjects.out(CID)),
        ("gateway", subjects.turn("billing")),
        ("rag", subjects.conv(CID)),
        ("llm-gateway", subjects.conv(CID)),
        ("archiver", subjects.conv(CID)),
        ("conversation", subjects.effect("k" * 32)),
    ],
)
async def test_a_service_cannot_write_what_is_not_its_own_and_the_server_names_the_subject(
    server: NatsServer, user: str, subject: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A denied write is a silent one: the test need not wait as long as a service would.
    monkeypatch.setattr("parley_mesh.jetstream.WRITE_TIMEOUT_S", 0.4)
    with pytest.raises(ParleyError):
        await NatsBus(await server.connect(user)).append(subject, b"forged")
    assert await NatsBus(await server.connect()).last(subject) is None
    await until(lambda: f'Publish Violation - Subject "{subject}"' in server.log(), 30)
    assert f"user:{user}" in server.log()


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        ("billing", subjects.conv(CID)),
        ("billing", subjects.effect("k" * 32)),
        ("billing", subjects.card("billing")),
        ("billing", subjects.turn("technical", lane="consult")),
        ("gateway", subjects.conv(CID)),
        ("conversation", subjects.checkpoint(CID)),
        ("conversation", subjects.out(CID)),
        ("conversation", subjects.conv(CID)),
    ],
)
async def test_a_service_can_write_what_is_its_own(server: NatsServer, user: str, subject: str) -> None:
    assert (await NatsBus(await server.connect(user)).append(subject, b"{}")).seq > 0


@pytest.mark.parametrize("user", ["conversation", "billing"])
async def test_who_has_something_to_say_in_its_own_words_may_ask_for_a_completion(
    server: NatsServer, user: str
) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        heard.put_nowait(message.subject)

    listener = await server.connect()
    await listener.subscribe("llm.*.*", cb=hear)
    await listener.flush()
    said = [subjects.complete("fast"), subjects.renew("r" * 20), subjects.cancel("r" * 20)]
    bus = NatsBus(await server.connect(user))
    for subject in said:
        await bus.publish(subject, b"")
    assert [await asyncio.wait_for(heard.get(), 30) for _ in said] == said


@pytest.mark.parametrize(
    ("user", "api"),
    [
        *((user, "STREAM.PURGE.KV_conversations") for user in ("billing", "gateway", "conversation")),
        *((user, "STREAM.DELETE.KV_conversations") for user in ("billing", "gateway", "conversation", "archiver")),
        *((user, "STREAM.LIST") for user in ("billing", "gateway", "conversation", "archiver")),
        ("archiver", "STREAM.PURGE.KV_keys"),
        ("archiver", "STREAM.PURGE.KV_specialists"),
        ("archiver", "STREAM.UPDATE.KV_conversations"),
    ],
)
async def test_no_service_administers_streams(server: NatsServer, user: str, api: str) -> None:
    with pytest.raises(ParleyError):
        await NatsBus(await server.connect(user)).request(f"$JS.API.{api}", b"", timeout=0.3)
    await until(lambda: f'Publish Violation - Subject "$JS.API.{api}"' in server.log(), 30)


async def test_a_service_reads_only_the_subjects_it_was_given(server: NatsServer) -> None:
    allowed = Tail(await server.connect("gateway"), subjects.STREAM, subjects.ALL_OUT, lambda _stored: None)
    await allowed.open()
    await allowed.close()
    curious = Tail(await server.connect("gateway"), subjects.STREAM, "effect.*", lambda _stored: None)
    with pytest.raises(TransientError):
        await curious.open()


async def test_a_wrong_password_is_one_sentence_that_says_what_to_do(server: NatsServer) -> None:
    import msgspec

    from parley_mesh.connection import connect

    wrong = msgspec.structs.replace(server.settings("billing"), nats_password="guess")
    with pytest.raises(ParleyError, match="parley env") as caught:
        await connect(wrong, "billing")
    assert caught.value.message.count(".") <= 5 and "guess" not in caught.value.message
