"""Files into the object store, and a job that takes them in: what `parley kb ingest` does, and how it watches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.object_store import ObjectStore

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.envelope import decode, encode
from parley_proto.rag import IngestJob, IngestProgress, Skipped

LARGEST = 64 << 20
_LOOK_S = 0.2

Heard = Callable[[IngestProgress], None]


def files_of(paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Name and file of everything to send: files as they are, folders with all that is not hidden in them.

    What a link in a folder leads to is left out where it lies elsewhere. CommandError for a path that is not there.
    """
    for path in paths:
        if path.is_dir():
            yield from (
                (file.relative_to(path).as_posix(), file) for file in sorted(path.rglob("*")) if _sent(file, path)
            )
        elif path.is_file():
            yield path.name, path
        else:
            raise CommandError(f"There is no file or folder {path}.", EXIT_USAGE)


def without_twins(files: Sequence[tuple[str, Path]]) -> tuple[list[tuple[str, Path]], list[Skipped]]:
    """The first file of each name, and the others with the reason why they can't be sent with it."""
    first: dict[str, Path] = {}
    twins: list[Skipped] = []
    for name, path in files:
        if first.setdefault(name, path) != path:
            twins.append(
                Skipped(str(path), f"{first[name]} is {name!r} too, and one would replace the other: name their folder")
            )
    return list(first.items()), twins


async def upload(client: Client, prefix: str, files: Sequence[tuple[str, Path]]) -> list[Skipped]:
    """Send `files` to the bucket under `prefix`; what was not sent, and why."""
    store = await bucket(client.jetstream())
    skipped: list[Skipped] = []
    for name, file in files:
        try:
            name.encode()
            size = file.stat().st_size
            if size > LARGEST:
                limit = LARGEST >> 20
                skipped.append(Skipped(name, f"it is too large: it has {size / 2**20:.1f} MB, the limit is {limit} MB"))
                continue
            with file.open("rb") as content:
                await store.put(prefix + name, content)
        except UnicodeEncodeError:
            skipped.append(Skipped(ascii(name), "its name is no text in UTF-8: rename it"))
        except OSError as error:
            skipped.append(Skipped(name, f"it can't be read: {error.strerror}"))
    return skipped


async def bucket(stream: JetStreamContext) -> ObjectStore:
    """The bucket `documents`; CommandError where this mesh has none."""
    try:
        return await stream.object_store(subjects.DOCUMENTS_BUCKET)
    except (nats.js.errors.Error, nats.errors.Error) as error:
        raise CommandError(f"The bucket {subjects.DOCUMENTS_BUCKET!r} can't be opened: {error}.") from error


async def begin(client: Client, job: IngestJob) -> None:
    """Put the job into the queue of all rag instances."""
    await NatsBus(client).append(subjects.INGEST_JOBS, encode(job), msg_id=job.job_id)


async def progress_of(client: Client, job_id: str) -> IngestProgress | None:
    """How far a job has come; None for one that nobody has begun, or that is forgotten."""
    stored = await NatsBus(client, f"KV_{subjects.INGESTIONS_BUCKET}").last(subjects.ingestion(job_id))
    return decode(stored.data, IngestProgress) if stored and stored.data else None


async def until_done(client: Client, job_id: str, heard: Heard, timeout_s: float) -> IngestProgress:
    """Watch a job to its end, telling every change. CommandError after `timeout_s` without any change."""
    last = IngestProgress(job_id, "waiting")
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(timeout_s):
                last = await _next(client, last)
            heard(last)
            if last.state in ("done", "failed"):
                return last
    why = last.reason or "nobody has said why."
    raise CommandError(f"Ingestion {job_id} has not moved for {timeout_s:g} s; it goes on when rag does: {why}")


async def _next(client: Client, last: IngestProgress) -> IngestProgress:
    """The next other progress than `last`."""
    while True:
        found = await progress_of(client, last.job_id)
        if found is not None and found != last:
            return found
        await asyncio.sleep(_LOOK_S)


def _sent(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.is_file() and file.resolve().is_relative_to(folder.resolve())
