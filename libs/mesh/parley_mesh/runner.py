"""The life of a service: settings, connection, build, ready, drain, close. The same for all of them."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec
import uvloop
from nats.aio.client import Client
from nats.micro.service import Service as MicroService

from parley_mesh import looplag, telemetry
from parley_mesh.bus import Bus
from parley_mesh.connection import connect
from parley_mesh.endpoints import Endpoint, announce, version_of
from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.health import App, HealthServer
from parley_mesh.jetstream import NatsBus
from parley_mesh.pulse import Heart
from parley_mesh.settings import MeshSettings, load
from parley_mesh.telemetry import log
from parley_proto.errors import ParleyError, SettingsError

S = TypeVar("S", bound=msgspec.Struct)
EXIT_SETTINGS = 2
Step = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    return None


class Mesh(msgspec.Struct, frozen=True):
    """What a service gets to build itself from."""

    name: str
    settings: MeshSettings
    bus: Bus
    client: Client
    instance: str


class Service:
    """What `build` returns. `ready()` is empty when ready, else one sentence; the runner calls start, drain, close.

    `notes()` is added to the body of /readyz.
    """

    def __init__(
        self,
        *,
        endpoints: Sequence[Endpoint] = (),
        ready: Callable[[], str] = lambda: "",
        start: Step = _nothing,
        drain: Step = _nothing,
        close: Step = _nothing,
        stats: Callable[[], dict[str, Any]] = dict,
        http: App | None = None,
        notes: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self.endpoints = endpoints
        self.ready = ready
        self.start = start
        self.drain = drain
        self.close = close
        self.stats = stats
        self.http = http
        self.notes = notes


Build = Callable[[S, Mesh], Awaitable[Service]]


def run(name: str, kind: type[S], build: Build[S]) -> NoReturn:
    """Run service `name` until SIGTERM; exit code 0 after a drain, 2 for wrong settings, 1 otherwise."""
    try:
        mesh_settings = load(MeshSettings, "mesh")
        settings = load(kind, name)
        uvloop.run(_live(name, mesh_settings, settings, build))
    except SettingsError as error:
        print(f"parley {name}: {error.message}", file=sys.stderr)
        sys.exit(EXIT_SETTINGS)
    except ParleyError as error:
        print(f"parley {name}: {error.message}", file=sys.stderr)
        sys.exit(1)
    sys.exit(0)


async def _live(name: str, mesh_settings: MeshSettings, settings: S, build: Build[S]) -> None:
    instance = mesh_settings.instance or f"{name}-{uuid.uuid4().hex[:8]}"
    telemetry.setup(
        name,
        instance,
        level=mesh_settings.log_level,
        trace_file=mesh_settings.trace_file,
        sample=mesh_settings.trace_sample,
    )
    life = Life(name, instance, mesh_settings)
    try:
        await life.run(settings, build)
    finally:
        telemetry.flush()


class Life:
    """One run of a service. Readiness follows the phase: starting, serving, draining."""

    def __init__(self, name: str, instance: str, settings: MeshSettings) -> None:
        self._name = name
        self._instance = instance
        self._settings = settings
        self._phase = "is starting"
        self._service: Service | None = None
        self._client: Client | None = None
        self._stopping = asyncio.Event()

    async def run(self, settings: S, build: Build[S]) -> None:
        self._listen_to_signals()
        looplag.watch()
        self._client = await connect(self._settings, self._name, self._stopping)
        heart = Heart(self._client, self._name, self._instance, self._reason)
        heart.start()
        mesh = Mesh(self._name, self._settings, NatsBus(self._client), self._client, self._instance)
        service = self._service = await build(settings, mesh)
        host, port = self._settings.health_host, self._settings.health_port
        server = HealthServer(host, port, self._reason, service.http, service.notes)
        await server.start()
        micro = await announce(mesh, service, server.port)
        _collect_seldom()
        await service.start()
        await self._subscribed(self._client)
        self._phase = ""
        log("parley").info("serving", extra={"port": server.port, "version": version_of(self._name)})
        await self._stopping.wait()
        await self._stop(service, server, micro, heart)

    async def _subscribed(self, client: Client) -> None:
        """Wait until the server knows our subscriptions: who hears that we are ready may ask at once."""
        try:
            await client.flush(timeout=2)
        except CLIENT_ERRORS as error:
            # They are told anew with the connection, and without one nobody is ready.
            log("parley").info("subscriptions not confirmed", extra={"reason": str(error)})

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    def _reason(self) -> str:
        if self._phase:
            return f"{self._name} {self._phase}."
        if self._client and not self._client.is_connected:
            return f"{self._name} has lost NATS at {self._settings.nats_url} and is reconnecting."
        return self._service.ready() if self._service else f"{self._name} is starting."

    async def _stop(self, service: Service, server: HealthServer, micro: MicroService, heart: Heart) -> None:
        """The order of a shutdown: take no more, finish what runs, flush, close."""
        self._phase = "is draining"
        log("parley").info("draining")
        steps = (heart.tell, micro.stop, service.drain, server.stop, service.close, heart.stop, self._close_client)
        for step in steps:
            try:
                await asyncio.wait_for(step(), self._settings.drain_s)
            except Exception:
                # The next steps still have to run: one that hangs or fails must not keep a port or a lock.
                log("parley").exception("a step of the shutdown failed", extra={"step": step.__qualname__})
        log("parley").info("stopped")

    async def _close_client(self) -> None:
        if self._client and self._client.is_connected:
            await self._client.flush()
        if self._client:
            await self._client.close()


def _collect_seldom() -> None:
    """Look for garbage less often than Python does by itself, and not among what lives as long as the service.

    Looking through thousands of connections was a third of what it cost the gateway to let 5,000 of them in again
    (loadtest/reconnect.py), and a twelfth of a specialist's time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)
