"""What knowledge costs: searches a second and their times, ingestion, memory, and whether the event loop stalls.

.venv/bin/python loadtest/rag.py --passages 100000 --ingested 2000
Fills a fresh table in a temporary folder, prints a table, and as its last line one JSON object, also written to
loadtest/out/rag.json. Passages are made of the sentences of the package's own articles. Their vectors are the means
of those of their sentences with some noise, so that 100,000 passages need no 100,000 encodings; `--ingested` more go
the whole way, model included, and give the rate of an ingestion.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("LANCE_LOG", "error")

import msgspec
import numpy as np
import psutil
import uvloop

import parley_rag
from parley_mesh.memory import MemoryBus
from parley_proto.rag import Document, SearchRequest
from parley_rag.adapters import Row, Vector
from parley_rag.answers import Answers
from parley_rag.app import encoder_for
from parley_rag.chunking import Sizes, chunks
from parley_rag.embedding import Encoder, embedder_for
from parley_rag.knowledge import Knowledge
from parley_rag.lance import LanceStore
from parley_rag.queries import QueryWorkers
from parley_rag.requests import FOREVER, Scope
from parley_rag.settings import Settings
from parley_rag.writer import Writer

OUT = Path(__file__).parent / "out"
MODES = ("vector", "text", "hybrid")
TENANT = "default"
EVERYTHING = Scope(TENANT, ("public",), FOREVER - 1)
SIZES = Sizes()


class Line(NamedTuple):
    """One row of the table that is printed; times in milliseconds, `lag` is the event loop's."""

    what: str
    per_s: float
    p50: float
    p99: float
    lag_p99: float
    lag_most: float


class Bench:
    """A table, a model, and the service's own search over both."""

    def __init__(self, store: LanceStore, encoder: Encoder, remembered: int) -> None:
        self.store = store
        self.encoder = encoder
        self.workers = QueryWorkers(least=1, most=8, waiting=10_000)
        self.knowledge = Knowledge(
            store,
            encoder,
            Writer(None),
            answers=Answers(remembered),
            workers=self.workers,
            sizes=SIZES,
            floor=-1.0,
            candidates=Settings().candidates,
        )


class Lag:
    """How late the loop comes back to a task that sleeps 2 ms, in milliseconds."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async def watch() -> None:
            while True:
                began = time.perf_counter()
                await asyncio.sleep(0.002)
                self.seen.append(1000 * (time.perf_counter() - began) - 2)

        task = asyncio.create_task(watch())
        try:
            yield
        finally:
            task.cancel()


def sentences() -> list[str]:
    """The sentences of the articles that ship with the service."""
    folder = Path(parley_rag.__file__).parent / "knowledge"
    texts = [file.read_text("utf-8").split("---", 2)[-1] for file in sorted(folder.rglob("*.md"))]
    found = [one.strip() for text in texts for one in re.split(r"(?<=[.!?])\s+|\n+", text)]
    return sorted({one for one in found if len(one.split()) >= 6 and one[0].isalnum()})


def passages(lines: Sequence[str], count: int, seed: int) -> list[list[int]]:
    """`count` passages, each of three to six sentences by number."""
    chosen = random.Random(seed)
    return [chosen.sample(range(len(lines)), chosen.randint(3, 6)) for _ in range(count)]


async def fill(bench: Bench, lines: Sequence[str], vectors: Vector, count: int) -> float:
    """Put `count` passages into the table; rows a second."""
    noise = np.random.default_rng(7)
    began = time.perf_counter()
    for at in range(0, count, 5_000):
        rows = []
        for number, picked in enumerate(passages(lines, min(5_000, count - at), at), start=at):
            mean = vectors[picked].mean(0) + noise.normal(0, 0.02, vectors.shape[1])
            document = Document(f"p{number}", f"Passage {number}", " ".join(lines[one] for one in picked))
            [chunk, *_] = chunks(document, SIZES)
            vector = (mean / np.linalg.norm(mean)).astype("<f4").tobytes()
            rows.append(Row(TENANT, document, "ingest", str(number), chunk, vector, vector))
        await bench.store.replace(TENANT, {row.document.document_id: 1 for row in rows}, rows)
    return count / (time.perf_counter() - began)


async def measure(what: str, calls: Sequence[Callable[[], Awaitable[Any]]], at_once: int) -> Line:
    """Make `calls`, `at_once` at a time."""
    times: list[float] = []
    waiting = iter(calls)

    async def work() -> None:
        for call in waiting:
            began = time.perf_counter()
            await call()
            times.append(1000 * (time.perf_counter() - began))

    lag = Lag()
    began = time.perf_counter()
    async with lag.watched():
        await asyncio.gather(*(work() for _ in range(at_once)))
    rate = len(calls) / (time.perf_counter() - began)
    return Line(what, rate, statistics.median(times), percentile(times), percentile(lag.seen), max(lag.seen))


def percentile(values: Sequence[float], share: float = 0.99) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


async def searches(bench: Bench, queries: Sequence[str], at_once: int, what: str) -> list[Line]:
    """The three modes, each over all `queries`."""
    found = []
    for mode in MODES:
        requests = [SearchRequest(query, mode=mode) for query in queries]
        calls = [lambda request=request: bench.knowledge.search(request) for request in requests]
        found.append(await measure(f"{mode}, {what}, {at_once} at once", calls, at_once))
    return found


async def recall(bench: Bench, vectors: Vector) -> float:
    """The share of the exact best five that the index finds too."""
    shares = []
    for vector in vectors:
        query = vector.astype("<f4").tobytes()
        exact = {hit.document for hit in await exact_by_vector(bench.store, query, 5)}
        found = await bench.store.by_vector(query, EVERYTHING, 50)
        shares.append(len(exact & {hit.document for hit in found[:5]}) / 5)
    return statistics.mean(shares)


async def exact_by_vector(store: LanceStore, vector: bytes, limit: int) -> Any:
    async with store.table() as table:
        search = table.query().nearest_to(np.frombuffer(vector, np.float32)).column("vector").distance_type("cosine")
        found = await search.bypass_vector_index().select(["document", "_distance"]).limit(limit).to_arrow()
    return [msgspec.convert(row, Found, strict=False) for row in found.to_pylist()]


class Found(msgspec.Struct):
    document: str


def memory_mb() -> dict[str, float]:
    """Resident memory of this process and of the embedding workers."""
    own = psutil.Process()
    workers = sum(child.memory_info().rss for child in own.children(recursive=True))
    return {"service": own.memory_info().rss / 1e6, "embedding_workers": workers / 1e6}


async def ingest(bench: Bench, lines: Sequence[str], count: int) -> Line:
    """The whole way: cut, embed, store; a call is 32 documents."""
    made = [" ".join(lines[one] for one in picked) for picked in passages(lines, count, 99)]
    documents = [Document(f"n{number}", f"New {number}", text) for number, text in enumerate(made)]
    groups = [documents[at : at + 32] for at in range(0, count, 32)]
    calls = [lambda group=group: bench.knowledge.ingest(TENANT, group) for group in groups]
    line = await measure("ingestion, 32 documents a call", calls, 1)
    return line._replace(per_s=line.per_s * count / len(groups))


async def timed(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


async def run(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="parley-load-") as folder:
        settings = Settings(data_dir=folder, precision=options.precision, disk_cache_mb=0, batch_size=64)
        encoder = encoder_for(settings, await embedder_for(settings, MemoryBus(), "local"))
        store = LanceStore(settings.table, encoder.model.name, encoder.model.dimensions)
        await store.create()
        bench = Bench(store, encoder, 0)
        try:
            return await report(bench, options)
        finally:
            await bench.workers.close()
            await encoder.close()
            await store.close()


async def report(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    lines = sentences()
    vectors = np.stack([np.frombuffer(one, "<f4") for one in await bench.encoder.vectors(lines)])
    rows_per_s = await fill(bench, lines, vectors, options.passages)
    index_s = await timed(bench.store.tend()) + await timed(bench.store.index_vectors())
    chosen = random.Random(3)
    queries = [" ".join(chosen.sample(line.split(), 6)) for line in chosen.choices(lines, k=options.queries)]
    found = await measure_all(bench, queries, lines, options)
    asked = np.stack([np.frombuffer(one, "<f4") for one in await bench.encoder.vectors(queries[:100])])
    exact = await recall(bench, asked)
    print(f"{'':44}{'per s':>9}{'p50 ms':>9}{'p99 ms':>9}{'lag p99':>9}{'lag most':>9}")
    for line in found:
        print(f"{line.what:44}" + "".join(f"{value:9.1f}" for value in line[1:]))
    facts = {
        "passages": options.passages,
        "precision": options.precision,
        "fill_rows_per_s": rows_per_s,
        "index_s": index_s,
        "vector_recall_at_5": exact,
        "memory_mb": memory_mb(),
    }
    print(f"index built in {index_s:.0f} s, finds {exact:.3f} of the exact best five; memory {facts['memory_mb']}")
    return facts | {"lines": [line._asdict() for line in found]}


async def measure_all(bench: Bench, queries: list[str], lines: list[str], options: argparse.Namespace) -> list[Line]:
    found = await searches(bench, queries[: options.queries // 4], 1, "new words")
    found += await searches(bench, queries, 1, "vector known")
    found += await searches(bench, queries, options.at_once, "vector known")
    remembering = Bench(bench.store, bench.encoder, 10_000)
    try:
        repeated = [random.Random(5).choice(queries[:200]) for _ in queries]
        found += await searches(remembering, repeated, options.at_once, "200 questions again")
    finally:
        await remembering.workers.close()
    if options.ingested:
        found.append(await ingest(bench, lines, options.ingested))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what knowledge costs.")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--ingested", type=int, default=2_000)
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32")
    result = uvloop.run(run(parser.parse_args()))
    OUT.mkdir(exist_ok=True)
    (OUT / "rag.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
