"""The real model in its real processes, which are killed, halted, starved and orphaned."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from parley_embedding.files import prepare
from parley_embedding.minilm import load
from parley_proto.errors import TransientError
from parley_rag.embedding import Encoder
from parley_rag.embedding.local import LocalModel
from parley_rag.embedding.sizing import Sizing
from parley_testkit.processes import children

TEXTS = [f"Where is order ORD-{number}, which should have come last week? " * 4 for number in range(48)]
Start = Callable[..., Awaitable[Encoder]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "embedding"
    prepare(folder, "fp32")
    return folder


@pytest.fixture
async def start(folder: Path) -> AsyncIterator[Start]:
    started: list[Encoder] = []

    async def begin(least: int = 1, most: int = 2, disk: Path | None = None, idle_s: float = 30.0) -> Encoder:
        model = LocalModel(folder, precision="fp32", threads=1, least=least, most=most)
        await model.start()
        sizing = Sizing(least, most, model.portion, idle_s=idle_s)
        encoder = Encoder(model, batch_size=16, cache_size=0, disk=disk, sizing=sizing)
        started.append(encoder)
        encoder.start()
        await until(lambda: encoder.workers == least)
        return encoder

    yield begin
    for encoder in started:
        await encoder.close()
    assert not workers()


def workers() -> list[psutil.Process]:
    return children("parley_embedding.worker")


async def until(true: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def in_work(encoder: Encoder) -> asyncio.Task[list[bytes]]:
    """An ingestion of `TEXTS` that has begun and is not over."""
    task = asyncio.create_task(encoder.vectors(TEXTS, remember=False, urgent=False))
    await until(lambda: 0 < encoder.waiting < len(TEXTS) - 4)
    return task


def right(vectors: list[bytes], folder: Path) -> bool:
    found = np.stack([np.frombuffer(vector, "<f4") for vector in vectors])
    return bool(np.abs(found - load(folder, "fp32", 1).encode(TEXTS)).max() < 1e-5)


async def test_a_worker_killed_in_the_middle_of_its_texts_is_replaced_and_nobody_else_notices(
    start: Start, folder: Path
) -> None:
    encoder = await start(least=2)
    task = await in_work(encoder)
    workers()[0].kill()
    assert right(await task, folder)
    await until(lambda: encoder.workers == 2)
    assert len(workers()) == 2


async def test_the_only_worker_may_be_killed(start: Start, folder: Path) -> None:
    encoder = await start(most=1)
    task = await in_work(encoder)
    workers()[0].kill()
    assert right(await task, folder)


async def test_an_idle_worker_that_is_killed_is_replaced_before_a_text_comes(start: Start) -> None:
    encoder = await start()
    [old] = workers()
    old.kill()
    await until(lambda: bool(workers()) and workers() != [old] and encoder.workers == 1)
    assert len(await encoder.vectors(["text"])) == 1


async def test_a_worker_that_hangs_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = await start(most=1)
    await encoder.vectors(["warm"])
    [old] = workers()
    old.send_signal(signal.SIGSTOP)
    monkeypatch.setattr("parley_rag.embedding.local._BATCH_S", 5.0)
    assert len(await encoder.vectors(["text"])) == 1
    assert workers() != [old]


async def test_a_long_queue_starts_a_second_worker_and_idleness_ends_it(start: Start, folder: Path) -> None:
    encoder = await start(idle_s=1.0)
    assert len(workers()) == 1
    task = asyncio.create_task(encoder.vectors(TEXTS, remember=False, urgent=False))
    many = [asyncio.create_task(encoder.vectors([f"{number} {text}" for text in TEXTS])) for number in range(3)]
    await until(lambda: encoder.workers == 2)
    assert right(await task, folder)
    await asyncio.gather(*many)
    await until(lambda: encoder.workers == 1 and len(workers()) == 1)


async def test_a_customer_does_not_wait_for_an_ingestion(start: Start) -> None:
    encoder = await start(most=1)
    task = await in_work(encoder)
    before = encoder.waiting
    await encoder.vectors(["Where is my refund?"])
    assert not task.done() and encoder.waiting >= before - 2 * encoder.model.portion
    await task


async def test_the_event_loop_goes_on_while_workers_start_and_work(start: Start) -> None:
    late: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.002)
            late.append(time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    encoder = await start(least=2)
    await encoder.vectors(TEXTS, remember=False, urgent=False)
    watching.cancel()
    assert sorted(late)[len(late) // 2] < 0.04


async def test_what_one_service_has_encoded_the_next_one_does_not(start: Start, tmp_path: Path) -> None:
    disk = tmp_path / "embeddings.sqlite"
    first = await start(disk=disk)
    vectors = await first.vectors(TEXTS, remember=False, urgent=False)
    await first.close()
    second = await start(disk=disk)
    [worker] = workers()
    worker.send_signal(signal.SIGSTOP)
    async with asyncio.timeout(5):
        assert await second.vectors(TEXTS, remember=False, urgent=False) == vectors


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_workers_end_when_the_service_is_gone(folder: Path, how: signal.Signals) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from parley_rag.embedding.local import LocalModel\n"
        "async def main():\n"
        "    model = LocalModel(pathlib.Path(sys.argv[1]), precision='fp32', threads=1, least=1, most=1)\n"
        "    await model.start()\n"
        "    workers = [await model.worker(), await model.worker()]\n"
        "    print(*[worker.pid for worker in workers], flush=True)\n"
        "    while True:\n"
        "        await asyncio.gather(*[worker.encode(['text ' * 200] * 16, False) for worker in workers])\n"
        "asyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert service.stdout
    pids = [int(pid) for pid in (await service.stdout.readline()).split()]
    assert len(pids) == 2 and all(psutil.pid_exists(pid) for pid in pids)
    service.send_signal(how)
    await service.wait()
    await until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 20)


async def test_a_model_that_can_not_be_loaded_is_said_and_nobody_waits(start: Start, tmp_path: Path) -> None:
    model = LocalModel(tmp_path, precision="fp32", threads=1, least=1, most=1)
    await model.start()
    [graph] = tmp_path.glob("*.onnx")
    graph.write_bytes(b"half a graph")
    encoder = Encoder(model, batch_size=16, cache_size=0)
    with pytest.raises(TransientError, match=r"did not start: .* can't be loaded: delete it") as caught:
        await encoder.vectors(["text"])
    assert caught.value.code == "embedding_unavailable"
    await encoder.close()
