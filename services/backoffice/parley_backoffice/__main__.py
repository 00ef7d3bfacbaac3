"""The door: `python -m parley_backoffice`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import uvicorn

from parley_backoffice.adapters import pool_of
from parley_backoffice.app import build
from parley_backoffice.settings import Settings, from_env
from parley_proto.errors import SettingsError


def main() -> None:
    """Serve until SIGTERM or SIGINT, then finish what is running. Exit code 2 where a setting is wrong."""
    try:
        settings = from_env(os.environ)
    except SettingsError as error:
        print(error.message, file=sys.stderr)
        raise SystemExit(2) from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # uvicorn raises the signal again after it has drained: by then there is nothing left to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    config = uvicorn.Config(
        build(settings, pool_of(settings)),
        host=settings.host,
        port=settings.port,
        timeout_graceful_shutdown=round(settings.drain),
        access_log=False,
        log_config=None,
        server_header=False,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    main()
