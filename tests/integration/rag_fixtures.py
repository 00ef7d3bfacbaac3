"""The knowledge service in this process, on a folder of the test's own, for a test that asks for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rag_service import Rag, Start, mesh_on

from parley_embedding.minilm import MiniLM, load
from parley_mesh.runner import Service
from parley_rag.app import build
from parley_rag.embedding import InProcess
from parley_rag.settings import Settings
from parley_testkit.nats_server import NatsServer


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> MiniLM:
    """The real model, built once for all tests of a run."""
    return load(model_folder(tmp_path_factory), "fp32", 1)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> MiniLM:
    """The same in whole numbers."""
    return load(model_folder(tmp_path_factory), "int8", 1)


def model_folder(factory: pytest.TempPathFactory) -> Path:
    """One for all the processes that tests run in: building waits for whoever builds already."""
    base = factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "embedding"


@pytest.fixture
async def start(model: MiniLM, tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[Start]:
    """Starts the service on `tmp_path`, without articles unless the test says otherwise; closed at the end."""
    running: list[Service] = []

    async def begin(folder: Path = tmp_path, **settings: object) -> Rag:
        chosen = Settings(**({"data_dir": str(folder), "knowledge_dir": "none"} | settings))  # type: ignore[arg-type]
        service = await build(chosen, await mesh_on(nats_server), InProcess(model))
        running.append(service)
        await service.start()
        return Rag(service)

    yield begin
    for service in running:
        await service.close()


@pytest.fixture
async def rag(start: Start) -> Rag:
    """A service that is ready and knows nothing yet."""
    begun = await start()
    await begun.until_ready()
    return begun
