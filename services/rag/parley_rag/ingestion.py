"""Ingestions: jobs that take in objects of the bucket, one at a time for all instances, and survive any of them.

What is stored is stored by the content hash of each document, and how far a job has come is written down after each
step. Whoever gets a job again goes on there: at worst one step is looked at twice, and found unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from nats.aio.client import Client

from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.jetstream import NatsBus
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_mesh.topology import INGEST_ACK_WAIT_S, INGEST_CONSUMER
from parley_mesh.work import Delivery, WorkQueue
from parley_proto import subjects
from parley_proto.envelope import decode, encode, now_ms
from parley_proto.errors import ConflictError, ParleyError, PermanentError, TransientError
from parley_proto.rag import Document, IngestJob, IngestProgress, IngestReply, Skipped
from parley_rag import metrics
from parley_rag.bucket import Bucket, Stored
from parley_rag.knowledge import Knowledge
from parley_rag.reading import Defaults, Reader
from parley_rag.requests import check_tenant

STEP = 200
MOST_FAILURES = 5
_REASONS_KEPT = 200
_WHOLE = -1
_AGAIN_S = 3.0


class Ledger:
    """How far each job has come, in the bucket `ingestions`. Only who has read the last entry can write the next."""

    def __init__(self, client: Client) -> None:
        self._bus = NatsBus(client, f"KV_{subjects.INGESTIONS_BUCKET}")

    async def read(self, job_id: str) -> tuple[IngestProgress, int]:
        """The progress and its revision; a new one and 0 for a job that nobody has begun."""
        stored = await self._bus.last(subjects.ingestion(job_id))
        if stored is None or not stored.data:
            return IngestProgress(job_id, "waiting"), stored.seq if stored else 0
        return decode(stored.data, IngestProgress), stored.seq

    async def write(self, progress: IngestProgress, revision: int) -> int:
        """The new revision; ConflictError when another instance has gone on with the job."""
        stamped = msgspec.structs.replace(progress, at=now_ms())
        subject = subjects.ingestion(progress.job_id)
        return (await self._bus.append(subject, encode(stamped), expect=revision)).seq


class Ingestions:
    """Pulls jobs and carries them out."""

    def __init__(
        self, client: Client, bucket: Bucket, knowledge: Knowledge, reader: Reader, spool: Path, instance: str
    ) -> None:
        self._bucket = bucket
        self._knowledge = knowledge
        self._reader = reader
        self._spool = spool
        self._instance = instance
        self._ledger = Ledger(client)
        self._tables = 0
        self._replaced_at = 0
        self._files: dict[str, dict[str, str]] = {}
        self._queue = WorkQueue(client, subjects.INGEST_STREAM, INGEST_CONSUMER, self._handle, slots=lambda: 1)

    async def start(self) -> None:
        await self._queue.start()

    def table_replaced(self) -> None:
        """What a job has stored so far is gone with the table: it begins anew."""
        self._tables += 1
        self._replaced_at = now_ms()

    async def drain(self, timeout_s: float) -> None:
        """A job that can't be finished in time goes on elsewhere, or here after the restart."""
        await self._queue.drain(timeout_s)

    async def _handle(self, delivery: Delivery) -> None:
        try:
            job: IngestJob = decode(delivery.data, IngestJob)
            async with _kept_alive(delivery):
                await self._carry_out(job)
        except ConflictError:
            log("parley.rag").warning("another instance has gone on with this ingestion")
        except TransientError as error:
            log("parley.rag").warning("ingestion waits", extra={"reason": error.message})
            await delivery.message.nak(delay=_AGAIN_S)
        except PermanentError as error:
            log("parley.rag").error("ingestion refused", extra={"reason": error.message})
            await delivery.message.term()
        else:
            await delivery.message.ack()

    async def _carry_out(self, job: IngestJob) -> None:
        progress, revision = await self._ledger.read(job.job_id)
        if progress.state in ("done", "failed"):
            return
        files = self._files.setdefault(job.job_id, {})
        run = _Run(self._ledger, self._begun(progress), revision, self._tables, files)
        # The table may have been replaced while nobody was at work on this job.
        await (run.begin_anew() if progress.at <= self._replaced_at else run.save())
        try:
            check_tenant(job.tenant)
            await self._take_in(job, run)
        except TransientError as error:
            if error.code == "knowledge_unavailable":
                # Whatever comes in the table's place may have none of what was stored.
                await run.begin_anew()
            await run.save(state="waiting", reason=error.message)
            raise
        except ParleyError as error:
            await run.save(state="failed", reason=error.message)
            await self._clean(job)
        except Exception as error:
            log("parley.rag").exception("ingestion failed", extra={"job": job.job_id})
            # Counted by themselves: outages add to the deliveries.
            failures = run.progress.failures + 1
            if failures < MOST_FAILURES:
                await run.save(failures=failures)
                raise TransientError("A step of the ingestion failed; it is tried again.", code="internal") from error
            await run.save(state="failed", reason=f"A step failed {failures} times; the log of rag has the details.")
            await self._clean(job)
        self._files.pop(job.job_id, None)

    async def _clean(self, job: IngestJob) -> None:
        """Uploads are of no more use; what is left of a job that died just here does no harm."""
        if not job.clean:
            return
        for name in await self._bucket.names(job.prefix):
            if stored := await self._bucket.info(name):
                await self._bucket.remove(stored)

    def _begun(self, progress: IngestProgress) -> IngestProgress:
        if progress.state == "waiting":
            return msgspec.structs.replace(progress, state="running", instance=self._instance, reason="")
        log("parley.rag").info(
            "ingestion resumed", extra={"job": progress.job_id, "documents": progress.documents, "of": progress.object}
        )
        metrics.RESUMED.inc()
        return msgspec.structs.replace(
            progress,
            resumed=progress.resumed + 1,
            resumed_from=progress.documents,
            instance=self._instance,
            reason="",
        )

    async def _take_in(self, job: IngestJob, run: _Run) -> None:
        names = await self._bucket.names(job.prefix)
        if not names:
            raise PermanentError(f"There is no object whose name starts with {job.prefix[:80]!r}.", code="no_objects")
        await run.save(objects=len(names))
        # Sorted by name, so that all before the one in the progress are done.
        for name in names:
            if (name, run.progress.cursor) != (run.progress.object, _WHOLE) and name >= run.progress.object:
                await self._object(job, name, run)
        await self._same_table(run)
        await self._clean(job)
        await run.save(state="done", reason="")

    async def _same_table(self, run: _Run) -> None:
        if run.table != self._tables:
            await run.begin_anew()
            raise TransientError("The table was replaced meanwhile: the job begins anew.", code="table_replaced")

    async def _object(self, job: IngestJob, name: str, run: _Run) -> None:
        if name != run.progress.object:
            await run.save(object=name, cursor=0)
        stored, shown = await self._bucket.info(name), name.removeprefix(job.prefix).lstrip("/") or name
        if stored is None:
            run.refuse([Skipped(shown, "it was removed before it could be read")])
        elif stored.size > self._reader.largest:
            limit = self._reader.largest >> 20
            run.refuse(
                [Skipped(shown, f"it is too large: it has {stored.size / 2**20:.1f} MB, the limit is {limit} MB")]
            )
        else:
            await self._file(job, stored, shown, run)
        await run.save(cursor=_WHOLE, objects_done=run.progress.objects_done + 1)

    async def _file(self, job: IngestJob, stored: Stored, shown: str, run: _Run) -> None:
        path = self._spool / job.job_id
        try:
            self._spool.mkdir(parents=True, exist_ok=True)
            await self._bucket.fetch(stored, path)
            await self._slices(job, path, shown, run)
        except PermanentError as error:
            run.refuse([Skipped(shown, error.message)])
        except OSError as error:
            raise TransientError(
                f"{self._spool} can't be used: {error.strerror or error}; make room there, and the job goes on."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    async def _slices(self, job: IngestJob, path: Path, shown: str, run: _Run) -> None:
        defaults = Defaults(job.specialty, job.language, job.access, job.valid_from, job.valid_until)
        cursor: int | None = run.progress.cursor
        while cursor is not None:
            await self._same_table(run)
            part = await self._reader.read_slice(path, shown, defaults, start=cursor, count=STEP)
            taken, again = run.first_of(part.documents, shown)
            await self._store(job.tenant, taken, [*part.skipped, *again], run)
            cursor = part.next
            if cursor is not None:
                await run.save(cursor=cursor)

    async def _store(self, tenant: str, documents: list[Document], skipped: list[Skipped], run: _Run) -> None:
        # Nothing is on the record before all of the slice is stored: it may be tried again.
        reply = await self._knowledge.ingest(tenant, documents) if documents else IngestReply(0, 0, 0)
        run.refuse([*skipped, *reply.skipped])
        before = run.progress
        run.progress = msgspec.structs.replace(
            before,
            documents=before.documents + len(documents),
            stored=before.stored + reply.stored,
            unchanged=before.unchanged + reply.unchanged,
            chunks=before.chunks + reply.chunks,
            replaced=before.replaced + reply.replaced,
        )


class _Run:
    """One attempt at a job: its progress, and the right to write it; `files` says which file each id came from."""

    def __init__(
        self, ledger: Ledger, progress: IngestProgress, revision: int, table: int, files: dict[str, str]
    ) -> None:
        self._ledger = ledger
        self._revision = revision
        self._from = files
        self.table = table
        self.progress = progress

    async def save(self, **changes: object) -> None:
        self.progress = msgspec.structs.replace(self.progress, **changes)
        self._revision = await self._ledger.write(self.progress, self._revision)

    async def begin_anew(self) -> None:
        nothing = dict.fromkeys(("cursor", "objects_done", "documents", "stored", "unchanged", "chunks", "refused"), 0)
        await self.save(object="", skipped=[], replaced=0, **nothing)

    def first_of(self, documents: list[Document], file: str) -> tuple[list[Document], list[Skipped]]:
        """Those whose id no other file of this job has had, and the rest, which would silently replace the earlier."""
        taken, again = [], []
        for document in documents:
            other = self._from.setdefault(document.document_id, file)
            if other == file:
                taken.append(document)
            else:
                again.append(Skipped(document.document_id, f"{file} has the same id as {other}: give it another"))
        return taken, again

    def refuse(self, skipped: list[Skipped]) -> None:
        before = self.progress
        kept = [*before.skipped, *skipped][:_REASONS_KEPT]
        self.progress = msgspec.structs.replace(before, skipped=kept, refused=before.refused + len(skipped))


@contextlib.asynccontextmanager
async def _kept_alive(delivery: Delivery) -> AsyncIterator[None]:
    """Tell the log that the job is being worked on, so that nobody else gets it."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(INGEST_ACK_WAIT_S / 3)
            with contextlib.suppress(*CLIENT_ERRORS):
                await delivery.message.in_progress()

    telling = asyncio.create_task(tell(), name="ingestion keeps alive")
    try:
        yield
    finally:
        await end(telling)
