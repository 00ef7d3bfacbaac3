"""`/livez`, `/readyz`, `/metrics` next to a service's own HTTP, on one port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from parley_mesh.head import BoundedHead
from parley_proto.errors import SettingsError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
MAX_FRAME = 1 << 17
# After a restart every client comes at once; the kernel cuts it down to its own net.core.somaxconn.
BACKLOG = 8192


class HealthServer:
    """Serves health and metrics, and `app` for every other path.

    `reason()` is empty when the service is ready, else says why not. /livez never fails for a dependency.
    `notes()` is what else /readyz tells: a service may be ready and still know of something that is not.
    """

    def __init__(
        self,
        host: str,
        port: int,
        reason: Callable[[], str],
        app: App | None = None,
        notes: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._reason = reason
        self._notes = notes
        self._app = app
        self._socket = _bind(host, port)
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            log_config=None,
            access_log=False,
            lifespan="off",
            http=BoundedHead,
            backlog=BACKLOG,
            ws="websockets-sansio",
            ws_max_size=MAX_FRAME,
            ws_per_message_deflate=False,
            ws_ping_interval=15,
            ws_ping_timeout=15,
            timeout_graceful_shutdown=3,
        )
        self._server = uvicorn.Server(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        self._task = asyncio.create_task(self._server._serve([self._socket]), name="http")

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task:
            await asyncio.wait([self._task], timeout=6)
        self._socket.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._health(scope) if scope["type"] == "http" else None
        if answer is not None:
            await _reply(send, *answer)
        elif self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _reply(send, 404, "application/json", b'{"code":"not_found","message":"There is nothing here."}')

    def _health(self, scope: Scope) -> tuple[int, str, bytes] | None:
        match scope["path"]:
            case "/livez":
                return 200, "application/json", b'{"status":"alive"}'
            case "/readyz":
                reason = self._reason()
                body: dict[str, Any] = {"status": "ready"} if not reason else {"status": "not_ready", "reason": reason}
                return (503 if reason else 200), "application/json", msgspec.json.encode(body | self._notes())
            case "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest()
        return None


async def _reply(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _bind(host: str, port: int) -> socket.socket:
    try:
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.set_inheritable(False)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"{host}:{port} can't be used: {error}. Free it or set PARLEY_MESH_HEALTH_PORT to another port."
        ) from error
    return bound
