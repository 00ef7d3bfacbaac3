from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parley_rag.adapters import Vector
from parley_rag.embedding import Encoder, InProcess
from parley_rag.embedding.disk import DiskCache
from parley_rag.embedding.text import key_of

MB = 1 << 20
TEXTS = [f"window {number}" for number in range(30)]


class CountingModel:
    """Vectors of 384 numbers that say which text they are of."""

    dimensions = 384

    def __init__(self, name: str = "counting") -> None:
        self.name = name
        self.encoded = 0

    def encode(self, texts: Sequence[str]) -> Vector:
        self.encoded += len(texts)
        return np.array([np.full(384, len(text) + int(text.split()[-1]) / 1000) for text in texts], np.float32)


async def ingest(path: Path, model: CountingModel, texts: Sequence[str] = TEXTS) -> list[bytes]:
    """What a service that starts, ingests and stops gets."""
    encoder = Encoder(InProcess(model), batch_size=16, cache_size=0, disk=path)
    try:
        return await encoder.vectors(texts, remember=False, urgent=False)
    finally:
        await encoder.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "embeddings.sqlite"


@pytest.fixture
async def cache(path: Path) -> AsyncIterator[DiskCache]:
    opened = DiskCache(path, 4 * MB)
    yield opened
    await opened.close()


async def test_what_was_ingested_once_is_not_encoded_again_after_a_restart(path: Path) -> None:
    model = CountingModel()
    first = await ingest(path, model)
    assert model.encoded == 30
    assert await ingest(path, model) == first and model.encoded == 30


async def test_another_model_does_not_get_the_vectors_of_this_one(path: Path) -> None:
    await ingest(path, CountingModel())
    other = CountingModel("other")
    await ingest(path, other)
    assert other.encoded == 30


async def test_what_customers_ask_is_not_written_down_nor_is_any_text(path: Path) -> None:
    encoder = Encoder(InProcess(CountingModel()), batch_size=16, cache_size=9, disk=path)
    await encoder.vectors(["my card number is 4242"])
    await encoder.vectors(["secret window 1"], remember=False, urgent=False)
    await encoder.close()
    with sqlite3.connect(path) as opened:
        assert opened.execute("SELECT count(*) FROM vectors").fetchone() == (1,)
    assert b"secret" not in path.read_bytes()


async def test_two_processes_share_one_file(path: Path) -> None:
    program = (
        "import asyncio, sys, pathlib; sys.path.insert(0, sys.argv[2])\n"
        "from test_vectors_stay_on_disk import CountingModel, ingest\n"
        "texts = [f'window {number}' for number in range(int(sys.argv[3]), int(sys.argv[3]) + 600)]\n"
        "asyncio.run(ingest(pathlib.Path(sys.argv[1]), CountingModel(), texts))"
    )
    here = str(Path(__file__).parent)
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path), here, str(at)) for at in (0, 300)
    ]
    assert [await process.wait() for process in processes] == [0, 0]
    model = CountingModel()
    await ingest(path, model, [f"window {number}" for number in range(900)])
    assert model.encoded == 0


@pytest.mark.parametrize("damage", [b"not a database at all" * 500, b""], ids=["other bytes", "nothing"])
async def test_a_damaged_file_costs_its_vectors_and_nothing_else(
    path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await ingest(path, CountingModel())
    path.write_bytes(damage)
    for expected in (30, 0):
        model = CountingModel()
        assert len(await ingest(path, model)) == 30
        assert model.encoded == expected
    assert [record.getMessage() for record in caplog.records if record.name.startswith("parley")] == (
        ["the embedding cache was damaged and is begun anew"] if damage else []
    )


async def test_damage_in_the_middle_gives_no_wrong_vector(path: Path) -> None:
    texts = [f"window {number}" for number in range(400)]
    right = await ingest(path, CountingModel(), texts)
    data = bytearray(path.read_bytes())
    for at in range(100_000, len(data), 10_000):
        data[at] ^= 0xFF
    path.write_bytes(data)
    model = CountingModel()
    assert await ingest(path, model, texts) == right
    assert model.encoded > 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_a_file_that_may_not_be_written_is_gone_without(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o500)
    assert len(await ingest(path, CountingModel())) == 30


async def test_a_place_where_no_file_can_be_is_gone_without(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.touch()
    model = CountingModel()
    await ingest(path, model)
    assert model.encoded == 30
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "the embedding cache is off"
    ]


async def test_a_file_that_somebody_holds_is_only_slow(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parley_rag.embedding.disk._LOCKED_S", 0.05)
    await ingest(path, CountingModel())
    cache = DiskCache(path, MB)
    assert not await cache.find("counting/384", [key_of("new 1")])
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        cache.keep("counting/384", {key_of("new 1"): bytes(1536)})
        assert len(await cache.find("counting/384", [key_of(text) for text in TEXTS])) == 30
        holder.execute("ROLLBACK")
    cache.keep("counting/384", {key_of("new 2"): bytes(1536)})
    assert list(await cache.find("counting/384", [key_of("new 1"), key_of("new 2")])) == [key_of("new 2")]
    await cache.close()


async def test_the_file_stays_within_its_bounds_and_the_last_used_stay_in_it(path: Path) -> None:
    now = [1_000_000.0]
    cache = DiskCache(path, 2 * MB, lambda: now[0])
    often = key_of("asked often")
    cache.keep("m/384", {often: b"o" * 1536})
    for round_ in range(60):
        now[0] += 4_000
        cache.keep("m/384", {key_of(f"{round_} {number}"): os.urandom(1536) for number in range(64)})
        assert list(await cache.find("m/384", [often])) == [often]
    newest = [key_of(f"59 {number}") for number in range(64)]
    assert len(await cache.find("m/384", newest)) == 64
    assert not await cache.find("m/384", [key_of(f"0 {number}") for number in range(64)])
    await cache.close()
    assert path.stat().st_size < 3 * MB


async def test_a_thousand_are_found_at_once(cache: DiskCache) -> None:
    vectors: dict[bytes, Any] = {key_of(str(number)): os.urandom(1536) for number in range(1_200)}
    cache.keep("m/384", vectors)
    assert await cache.find("m/384", list(vectors)) == vectors
