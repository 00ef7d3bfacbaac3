"""Fixtures that many tests use; tests/conftest.py takes them in."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from parley_testkit import requirements
from parley_testkit.mesh import SHELF, RunningMesh
from parley_testkit.nats_server import NatsServer
from parley_testkit.postgres import Postgres

# While another worker starts a mesh, rag takes longer to say what a message is about than its customer would wait.
UNHURRIED = {
    "PARLEY_CONVERSATION_REROUTE_TIMEOUT_S": "5",
    "PARLEY_GATEWAY_MESSAGES_PER_MINUTE": "6000",
    "PARLEY_MESH_TRACE_SAMPLE": "1",
}


@pytest.fixture
async def nats_server() -> AsyncIterator[NatsServer]:
    """A nats-server with an empty store."""
    async with NatsServer() as server:
        yield server


@pytest.fixture
async def postgres() -> AsyncIterator[Postgres]:
    """An empty PostgreSQL cluster with the roles of the services that have a database."""
    async with Postgres(["backoffice", "archiver"]) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def shelf(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One shelf for all the processes that the tests of a run are shared out to, and for those that they start."""
    base = tmp_path_factory.getbasetemp()
    os.environ[SHELF] = str((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "warm")


@pytest.fixture(scope="session")
def mesh(request: pytest.FixtureRequest) -> Iterator[RunningMesh]:
    """The whole mesh, started once for all journeys; its logs stay when a test has failed.

    A test talks faster than a customer may: how much that is, the gateway's own tests say. Every message is traced.
    """
    running = RunningMesh(environ=UNHURRIED)
    failed_before = request.session.testsfailed
    try:
        running.start()
        yield running
    finally:
        running.end(keep=request.session.testsfailed > failed_before)


@pytest.fixture(scope="session")
def browser_path() -> str:
    return requirements.browser_path()


@pytest.fixture(scope="session")
def nats_command() -> str:
    return requirements.nats_command()
