"""The door: `python -m parley_backoffice`."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import uvicorn

from parley_backoffice.adapters import pool_of
from parley_backoffice.app import build
from parley_backoffice.settings import Settings, from_env
from parley_mesh import telemetry
from parley_proto.errors import SettingsError


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish what is running.

    Exit code 2 and one sentence on stderr where a setting is wrong or the port is taken.
    """
    try:
        settings = from_env(os.environ)
        listener = _listener(settings.host, settings.port)
    except SettingsError as error:
        print(error.message, file=sys.stderr)
        raise SystemExit(2) from None
    instance = os.environ.get("PARLEY_MESH_INSTANCE", "backoffice")
    telemetry.setup("backoffice", instance, level="INFO", trace_file="", sample=0.0)
    # uvicorn raises the signal again after it has drained: by then there is nothing left to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    asyncio.run(_serve(settings, listener))


def _listener(host: str, port: int) -> socket.socket:
    # Listening already: another process that starts at the same moment must find the port taken.
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        # What Python puts into strerror repeats the address.
        why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise SettingsError(
            f"The back office can't listen on {host}:{port} ({why}); "
            "free it, or set PARLEY_BACKOFFICE_HOST and PARLEY_BACKOFFICE_PORT to another address."
        ) from error


async def _serve(settings: Settings, listener: socket.socket) -> None:
    config = uvicorn.Config(
        build(settings, pool_of(settings)),
        timeout_graceful_shutdown=round(settings.drain),
        access_log=False,
        log_config=None,
        server_header=False,
    )
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    main()
