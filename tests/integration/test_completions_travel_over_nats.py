"""The llm-gateway as the mesh meets it: on NATS, with the rights of its own user, asked by a specialist."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from llm_provider_fixtures import asking, settings_for

from parley_llm_gateway.app import build
from parley_llm_gateway.offline import MODEL
from parley_llm_gateway.settings import Settings
from parley_mesh.endpoints import announce
from parley_mesh.jetstream import NatsBus
from parley_mesh.runner import Mesh, Service
from parley_proto import subjects
from parley_proto.envelope import decode, encode
from parley_proto.errors import PermanentError
from parley_proto.llm import Alive, CompletionEvent, CompletionRequest, Failed, Finished, TextDelta
from parley_testkit import fake_provider as play
from parley_testkit.fake_provider import FakeProvider
from parley_testkit.nats_server import NatsServer


@asynccontextmanager
async def living(server: NatsServer, settings: Settings, instances: int = 1) -> AsyncIterator[Sequence[Service]]:
    services, micros = [], []
    for number in range(instances):
        client = await server.connect("llm-gateway")
        mesh = Mesh("llm-gateway", server.settings("llm-gateway"), NatsBus(client), client, f"llm-{number}")
        service = await build(settings, mesh)
        micros.append(await announce(mesh, service, 0))
        await client.flush()
        services.append(service)
    try:
        yield services
    finally:
        for micro, service in zip(micros, services, strict=True):
            await micro.stop()
            await service.close()


async def _asked(bus: NatsBus, request: CompletionRequest) -> list[CompletionEvent]:
    stream = bus.stream(subjects.complete("standard"), encode(request), idle=4)
    return [decode(data, CompletionEvent) async for data in stream]


async def test_a_specialist_gets_an_answer_from_the_offline_model(nats_server: NatsServer) -> None:
    bus = NatsBus(await nats_server.connect("billing"))
    async with living(nats_server, Settings()):
        events = await _asked(bus, asking("What is the meaning of life?"))
    assert isinstance(events[0], Alive)
    end = events[-1]
    assert isinstance(end, Finished)
    assert (end.model, end.offline) == (MODEL, True)
    assert sum(isinstance(event, Finished | Failed) for event in events) == 1
    assert "offline model" in "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_an_unsound_request_is_refused_with_its_code(nats_server: NatsServer) -> None:
    bus = NatsBus(await nats_server.connect("billing"))
    async with living(nats_server, Settings()):
        for request, code in ((asking(messages=[]), "empty_messages"), (asking(model="gpt-99"), "unknown_model")):
            with pytest.raises(PermanentError) as caught:
                await _asked(bus, request)
            assert caught.value.code == code
        with pytest.raises(PermanentError) as caught:
            await anext(bus.stream(subjects.complete("standard"), b"\xff{", idle=4))
        assert caught.value.code == "malformed"


async def test_a_cancel_on_nats_closes_the_providers_socket_wherever_it_is(nats_server: NatsServer) -> None:
    bus = NatsBus(await nats_server.connect("billing"))
    async with FakeProvider() as provider, living(nats_server, settings_for(provider), instances=2) as services:
        provider.play(play.stalled_after("Once upon a time"))
        request, events = asking(), list[CompletionEvent]()
        async for data in bus.stream(subjects.complete("standard"), encode(request), idle=4):
            events.append(decode(data, CompletionEvent))
            if isinstance(events[-1], TextDelta):
                await bus.publish(subjects.cancel(request.request_id), b"")
        await provider.until(lambda: provider.cancelled == 1)
        assert isinstance(events[-1], Failed)
        assert events[-1].code == "cancelled"
        assert [service.stats()["running"] for service in services] == [0, 0]


async def test_each_request_is_answered_by_one_instance(nats_server: NatsServer) -> None:
    bus = NatsBus(await nats_server.connect("billing"))
    async with FakeProvider() as provider, living(nats_server, settings_for(provider), instances=3):
        answers = await asyncio.gather(*(_asked(bus, asking()) for _ in range(12)))
        assert provider.opened == 12
    assert all(isinstance(events[-1], Finished) for events in answers)


async def test_a_drain_waits_for_what_runs(nats_server: NatsServer) -> None:
    bus = NatsBus(await nats_server.connect("billing"))
    async with FakeProvider() as provider, living(nats_server, settings_for(provider)) as (service,):
        provider.play([play.Wait(0.3), *play.answer("Done.")])
        asked = asyncio.create_task(_asked(bus, asking()))
        await provider.until(lambda: provider.opened == 1)
        await asyncio.wait_for(service.drain(), 5)
        assert isinstance((await asked)[-1], Finished)
