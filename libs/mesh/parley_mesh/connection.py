"""One connection to NATS that never gives up once it stood, and says clearly why it can't be made."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from nats.aio.client import Client

from parley_mesh.settings import MeshSettings
from parley_mesh.telemetry import log
from parley_proto.errors import ParleyError, SettingsError

CONNECT_S = 60.0
_UNTAKEN_MS = 5000


class _Client(Client):
    """nats-py 2.16, where what was said counts as said (both tried).

    It lets uvloop's RuntimeError about a socket out of `publish` in the moment between the end of a connection and its
    being noticed, although the message waits in its buffer and goes out with the next connection: a task that did not
    expect it was over for good. And `flush` writes its PING past what waits in that buffer, so that a subscription was
    not yet there when it returned.
    """

    async def flush(self, timeout: int = 10) -> None:
        await self._flush_pending(force_flush=True)
        await super().flush(timeout)

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        try:
            return await super()._flush_pending(force_flush)
        except RuntimeError as error:
            log("parley.nats").info("not sent yet", extra={"reason": str(error)})
            flushed: asyncio.Future[None] = asyncio.Future()
            flushed.set_result(None)
            return flushed


async def connect(settings: MeshSettings, name: str, stopping: asyncio.Event | None = None) -> Client:
    """A connection that never gives up once it stood.

    SettingsError for wrong credentials, ParleyError when nobody answers for a minute.
    """
    client, refused = _Client(), asyncio.Event()
    trying = asyncio.create_task(client.connect(servers(settings), **_options(settings, name, client, refused)))
    ends = [asyncio.create_task(event.wait()) for event in (refused, stopping or asyncio.Event())]
    try:
        await asyncio.wait([trying, *ends], timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
        if refused.is_set():
            raise SettingsError(_wrong_user(settings))
        if not trying.done() or trying.exception():
            raise ParleyError(f"NATS at {settings.nats_url} does not answer: is it running?", code="no_nats")
        _bound(client)
        return client
    finally:
        for task in (trying, *ends):
            task.cancel()
        await asyncio.gather(trying, *ends, return_exceptions=True)


def servers(settings: MeshSettings) -> list[str]:
    """The servers of one cluster, given with commas between; a client that loses one goes on with another."""
    return [url.strip() for url in settings.nats_url.split(",") if url.strip()]


def _bound(client: Client) -> None:
    """Have the kernel end a connection whose server takes nothing any more (tcp(7), TCP_USER_TIMEOUT; Linux only).

    A client with much to send to a server that is frozen would wait for ever until that is flushed, instead of going
    to another one (tried with nats-py 2.16).
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    writer: asyncio.StreamWriter | None = getattr(client._transport, "_io_writer", None)
    if option is not None and writer is not None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, option, _UNTAKEN_MS)


def _wrong_user(settings: MeshSettings) -> str:
    return (
        f"NATS at {settings.nats_url} refuses user {settings.nats_user!r}: "
        "set PARLEY_MESH_NATS_USER and PARLEY_MESH_NATS_PASSWORD as `parley env` prints them."
    )


def _options(settings: MeshSettings, name: str, client: Client, refused: asyncio.Event) -> dict[str, Any]:
    async def failed(error: Exception) -> None:
        if "authorization" in str(error).lower():
            refused.set()
        elif not client.is_connected and isinstance(error, OSError):
            log("parley.nats").info("nats is not there yet", extra={"reason": str(error)})
            return
        # A denial reaches a client only here: log it with the subject that it names.
        log("parley.nats").warning("nats error", extra={"reason": str(error)})

    async def lost() -> None:
        if client.is_closed:
            return
        log("parley.nats").warning("nats connection lost")

    async def found() -> None:
        _bound(client)
        log("parley.nats").info("nats connection is back")

    return {
        "user": settings.nats_user or None,
        "password": settings.nats_password or None,
        "name": name,
        "inbox_prefix": f"_INBOX_{name}".encode(),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.2,
        "connect_timeout": 2,
        "ping_interval": 2,
        "max_outstanding_pings": 2,
        "pending_size": 16 << 20,
        "error_cb": failed,
        "disconnected_cb": lost,
        "reconnected_cb": found,
    }
