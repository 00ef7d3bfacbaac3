"""What a service answers on NATS, and how it shows itself to `nats micro ls` (ADR-32)."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

import msgspec
import nats.errors
import nats.micro
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.request import Request
from nats.micro.service import EndpointConfig, ServiceConfig
from nats.micro.service import Service as MicroService

from parley_mesh.bus import Answerer, Streamer
from parley_mesh.jetstream import refusal_of
from parley_mesh.settings import MeshSettings
from parley_mesh.telemetry import continued, log, tracer
from parley_proto.errors import ParleyError


class Endpoint(msgspec.Struct, frozen=True):
    """A subject that the service answers: with one reply (`answer`) or several (`stream`), `limit` at once."""

    name: str
    subject: str
    answer: Answerer | None = None
    stream: Streamer | None = None
    limit: int = 64


class Announced(Protocol):
    """The identity of this instance: `Mesh` in real life."""

    @property
    def name(self) -> str: ...
    @property
    def instance(self) -> str: ...
    @property
    def settings(self) -> MeshSettings: ...
    @property
    def client(self) -> Client: ...


class Announces(Protocol):
    """What it can be asked: `Service` in real life."""

    endpoints: Sequence[Endpoint]
    stats: Callable[[], dict[str, Any]]


def version_of(name: str) -> str:
    """The installed version of a service's package; 0.1.0 for one that runs from its folder."""
    try:
        return importlib.metadata.version(f"parley-{name}")
    except importlib.metadata.PackageNotFoundError:
        return "0.1.0"


async def announce(mesh: Announced, service: Announces, port: int) -> MicroService:
    async def stats(_endpoint: Any) -> dict[str, Any]:
        return service.stats()

    config = ServiceConfig(
        name=mesh.name,
        version=version_of(mesh.name),
        description=f"Parley {mesh.name}",
        metadata={"instance": mesh.instance, "health": f"http://{mesh.settings.health_host}:{port}"},
        queue_group=mesh.name,
    )
    micro = await nats.micro.add_service(mesh.client, config)
    for endpoint in service.endpoints:
        handler = _Serving(mesh.client, endpoint)
        await micro.add_endpoint(EndpointConfig(name=endpoint.name, subject=endpoint.subject, handler=handler))
    await mesh.client.subscribe(f"$SRV.PARLEY.{mesh.name}", cb=_statistics(mesh, service))
    return micro


def _statistics(mesh: Announced, service: Announces) -> Callable[[Msg], Awaitable[None]]:
    async def reply(message: Msg) -> None:
        body = {"service": mesh.name, "instance": mesh.instance, "version": version_of(mesh.name)} | service.stats()
        await message.respond(msgspec.json.encode(body))

    return reply


class _Serving:
    """Answers the requests of one endpoint, `limit` at once, each in the trace of its sender."""

    def __init__(self, client: Client, endpoint: Endpoint) -> None:
        self._client = client
        self._endpoint = endpoint
        self._slots = asyncio.Semaphore(endpoint.limit)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, request: Request) -> None:
        if not request._msg.reply:
            return
        await self._slots.acquire()
        task = asyncio.create_task(self._answer(request._msg))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _answer(self, message: Msg) -> None:
        headers = message.headers or {}
        with continued(headers), tracer().start_as_current_span(self._endpoint.subject):
            try:
                async for reply in self._replies(message.data, headers):
                    await self._client.publish(message.reply, reply)
            except ParleyError as error:
                await self._refuse(message, error)
            except nats.errors.Error as error:
                log("parley.nats").warning("answer not sent", extra={"reason": str(error)})
            except Exception:
                log("parley").exception("request failed", extra={"subject": self._endpoint.subject})
                await self._refuse(message, ParleyError("The service failed on this request.", code="internal"))

    async def _replies(self, data: bytes, headers: dict[str, str]) -> AsyncIterator[bytes]:
        if self._endpoint.answer:
            yield await self._endpoint.answer(data, headers)
        elif self._endpoint.stream:
            async for reply in self._endpoint.stream(data, headers):
                yield reply
            yield b""

    async def _refuse(self, message: Msg, error: ParleyError) -> None:
        body, headers = refusal_of(error)
        await self._client.publish(message.reply, body, headers=headers)
