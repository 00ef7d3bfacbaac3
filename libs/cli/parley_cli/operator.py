"""The operator's connection to NATS: quick to fail, since a person waits for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import nats.errors
from nats.aio.client import Client

from parley_cli.errors import CommandError, NotRunningError
from parley_cli.supervise import secrets, state
from parley_cli.supervise.home import Home
from parley_mesh.connection import servers
from parley_mesh.identities import OPERATOR
from parley_mesh.settings import MeshSettings, load


def identity(home: Home, environ: Mapping[str, str] = os.environ) -> MeshSettings:
    """Where NATS is and who we are there: the mesh that runs here, else what NATS_URL and its companions say."""
    found = state.running(home)
    if found:
        password = secrets.load(home).nats_password(OPERATOR)
        return MeshSettings(nats_url=found.nats_url, nats_user=OPERATOR, nats_password=password, shards=found.shards)
    if not environ.get("NATS_URL"):
        raise NotRunningError
    user, password = environ.get("NATS_USER", ""), environ.get("NATS_PASSWORD", "")
    shards = load(MeshSettings, "mesh", environ).shards
    return MeshSettings(nats_url=environ["NATS_URL"], nats_user=user, nats_password=password, shards=shards)


@asynccontextmanager
async def connected(who: MeshSettings) -> AsyncIterator[Client]:
    """A connection for one command. CommandError when NATS can't be reached or refuses us."""
    client = await _opened(who)
    try:
        yield client
    finally:
        await client.close()


async def _opened(who: MeshSettings) -> Client:
    """A connection to the first server that takes us."""
    failure: Exception | None = None
    for url in servers(who):
        client = Client()
        try:
            await client.connect(
                url,
                user=who.nats_user or None,
                password=who.nats_password or None,
                name="operator",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=2,
                error_cb=_quiet,
            )
        except (OSError, TimeoutError, nats.errors.Error) as error:
            failure = error
        else:
            return client
    raise CommandError(f"NATS at {who.nats_url} can't be reached: {failure or 'no answer'}.") from failure


async def _quiet(_error: Exception) -> None:
    return None
