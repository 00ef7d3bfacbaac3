"""A job says `done` only when the table that is there then has all of it; what it was told once, it remembers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from parley_mesh import topology
from parley_proto.errors import TransientError
from parley_proto.rag import Document, IngestJob, IngestProgress, IngestReply
from parley_rag.bucket import Stored
from parley_rag.ingestion import MOST_FAILURES, STEP, Ingestions
from parley_rag.reading.outcome import Slice
from parley_testkit.nats_server import NatsServer

JOB = IngestJob("job-0123456789abcdef", "up/")


class Files:
    """A bucket and its reader: each file's documents, by id, `STEP` a slice."""

    largest = 1 << 30

    def __init__(self, **files: list[str]) -> None:
        self.files = files

    async def names(self, _prefix: str) -> list[str]:
        return [f"up/{name}" for name in sorted(self.files)]

    async def info(self, name: str) -> Stored:
        return Stored(name, "nuid", 1)

    async def fetch(self, _stored: Stored, path: Path) -> None:
        path.write_text("")

    async def read_slice(self, _path: Path, shown: str, _defaults: Any, *, start: int, count: int) -> Slice:
        ids = self.files[shown]
        more = start + count if start + count < len(ids) else None
        return Slice(
            [Document(document_id=one, title=shown, text=shown) for one in ids[start : start + count]], [], more
        )


class Table:
    """What is stored, by id and file; each of `events` happens once, before that call."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}
        self.events: dict[int, Callable[[], None]] = {}
        self.calls = 0

    async def ingest(self, _tenant: str, documents: list[Document]) -> IngestReply:
        self.calls += 1
        self.events.pop(self.calls, lambda: None)()
        self.rows |= {one.document_id: one.title for one in documents}
        return IngestReply(len(documents), 0, len(documents))

    def gone(self) -> None:
        self.rows.clear()
        raise TransientError("The knowledge table can't be used.", code="knowledge_unavailable")

    def busy(self) -> None:
        raise TransientError("Another instance is writing.", code="table_busy")

    def odd(self) -> None:
        raise ZeroDivisionError


class Bench:
    def __init__(self, client: Any, spool: Path, **files: list[str]) -> None:
        self.files, self.table, self._client, self._spool = Files(**files), Table(), client, spool
        self.instance = self.started()

    def started(self) -> Ingestions:
        files, table = cast(Any, self.files), cast(Any, self.table)
        return Ingestions(self._client, files, table, files, self._spool, "rag-1")

    async def attempt(self) -> IngestProgress:
        """One delivery of the job, which may ask for another one."""
        with suppress(TransientError):
            await self.instance._carry_out(JOB)
        return (await self.instance._ledger.read(JOB.job_id))[0]

    async def to_the_end(self) -> IngestProgress:
        progress = await self.attempt()
        for _ in range(20):
            if progress.state in ("done", "failed"):
                break
            progress = await self.attempt()
        return progress


@pytest.fixture
async def client(nats_server: NatsServer) -> Any:
    client = await nats_server.connect()
    await topology.apply(client, ["billing"], shards=4)
    return client


def many(count: int) -> list[str]:
    return [f"d{number}" for number in range(count)]


async def test_a_table_that_was_away_may_have_nothing_of_it(client: Any, tmp_path: Path) -> None:
    bench = Bench(client, tmp_path, a=many(3 * STEP))
    bench.table.events[3] = bench.table.gone
    progress = await bench.to_the_end()
    assert (progress.state, progress.documents, len(bench.table.rows)) == ("done", 3 * STEP, 3 * STEP)


async def test_one_that_was_replaced_between_two_attempts_gets_all_of_it(client: Any, tmp_path: Path) -> None:
    bench = Bench(client, tmp_path, a=many(3 * STEP))
    bench.table.events[3] = bench.table.busy
    assert (await bench.attempt()).documents == 2 * STEP
    bench.table.rows.clear()
    bench.instance.table_replaced()
    progress = await bench.to_the_end()
    assert (progress.state, progress.documents, len(bench.table.rows)) == ("done", 3 * STEP, 3 * STEP)


async def test_one_that_is_replaced_at_the_last_slice_gets_all_of_it(client: Any, tmp_path: Path) -> None:
    bench = Bench(client, tmp_path, a=many(2 * STEP))

    def replaced() -> None:
        bench.table.rows.clear()
        bench.instance.table_replaced()

    bench.table.events[2] = replaced
    progress = await bench.to_the_end()
    assert (progress.state, len(bench.table.rows)) == ("done", 2 * STEP)


async def test_a_table_that_stays_goes_on_where_it_was(client: Any, tmp_path: Path) -> None:
    bench = Bench(client, tmp_path, a=many(3 * STEP))
    bench.table.events[3] = bench.table.busy
    progress = await bench.to_the_end()
    assert (progress.state, progress.documents, bench.table.calls) == ("done", 3 * STEP, 4)


async def test_the_second_file_with_an_id_is_refused_after_a_hiccup_too(client: Any, tmp_path: Path) -> None:
    bench = Bench(client, tmp_path, a=["same", "one"], b=["other", "same"])
    bench.table.events[2] = bench.table.busy
    progress = await bench.to_the_end()
    assert [one.document_id for one in progress.skipped] == ["same"]
    assert bench.table.rows == {"same": "a", "one": "a", "other": "b"}


async def test_outages_are_no_failures_of_the_job(client: Any, tmp_path: Path) -> None:
    bench = Bench(client, tmp_path, a=["one"])
    bench.table.events = dict.fromkeys(range(1, MOST_FAILURES + 3), bench.table.busy)
    bench.table.events[MOST_FAILURES + 3] = bench.table.odd
    assert (await bench.to_the_end()).state == "done"


async def test_a_step_that_fails_again_and_again_ends_it(client: Any, tmp_path: Path) -> None:
    bench = Bench(client, tmp_path, a=["one"])
    bench.table.events = dict.fromkeys(range(1, 20), bench.table.odd)
    progress = await bench.to_the_end()
    assert (progress.state, bench.table.calls) == ("failed", MOST_FAILURES)
    assert f"failed {MOST_FAILURES} times" in progress.reason
