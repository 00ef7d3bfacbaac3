"""Snapshots: take, list, verify, restore, prune."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from parley_mesh.telemetry import log
from parley_proto.errors import PermanentError
from parley_rag.snapshots.places import place_at
from parley_rag.snapshots.restoring import restore
from parley_rag.snapshots.rules import (
    Content,
    File,
    Pruned,
    Snapshot,
    Taken,
    check_name,
    damaged,
    failed,
    seal_of,
    surplus,
    version_of,
)
from parley_rag.snapshots.store import Store
from parley_rag.snapshots.taking import AT_ONCE, Taking

# What is younger may belong to a snapshot whose list is not written yet.
_GRACE_S = 3600.0
_CHECKS = 3


class Snapshots:
    """The snapshots at `uri`: a folder, or a prefix of an object store. Blocks.

    Every method raises TransientError `snapshot_failed` where a store or a table can't be read or written.
    """

    def __init__(self, uri: str, *, grace_s: float = _GRACE_S) -> None:
        self._uri = uri
        self._grace_s = grace_s

    def take(self, table: str, *, name: str, facts: Mapping[str, Any]) -> Taken:
        """Copy what is new of `table` (folder or URI) and write the list `name` last: cut off, nothing is there.

        Raises PermanentError `bad_snapshot_name`, or `snapshot_exists`: none is ever replaced.
        """
        check_name(name)
        with self._translated() as store:
            if store.has(name):
                raise PermanentError(f"Snapshot {name} exists: choose another name.", code="snapshot_exists")
            sound = _sound(store)
            taking = Taking(place_at(table), store, sound[0] if sound else None)
            return self._written(store, taking, name, facts)

    def list(self) -> Sequence[Snapshot]:
        """Newest first; damaged ones are logged and left out."""
        with self._translated() as store:
            return _sound(store)

    def verify(self, name: str) -> Snapshot:
        """Compare size and hash of everything that it names; PermanentError `snapshot_missing`, `snapshot_damaged`."""
        with self._translated() as store:
            snapshot = store.find(name)
            there = store.objects()
            for file in snapshot.files:
                if there.get(file.sha256) != file.size:
                    raise damaged(name, f"{file.path} is not in the store, or not whole")

            def check(file: File) -> None:
                content = Content()
                for _ in content.through(store.chunks(file.sha256)):
                    pass
                if content.sha256 != file.sha256:
                    store.set_aside(file.sha256)
                    raise damaged(name, f"{file.path} has another content than was stored")

            with ThreadPoolExecutor(AT_ONCE) as pool:
                for _ in pool.map(check, {file.sha256: file for file in snapshot.files}.values()):
                    pass
        return snapshot

    def restore(self, name: str, into: str) -> str:
        """Put the snapshot in the place of the table `into`; where the old one is now, empty if nowhere.

        Nobody may write to the table meanwhile. PermanentError `snapshot_missing` or `snapshot_damaged` leaves it
        as it was.
        """
        with self._translated() as store:
            return restore(store, store.find(name), place_at(into))

    def prune(self, keep: int) -> Pruned:
        """Keep the newest `keep` automatic snapshots and all that somebody named; drop what no list names.

        Lists go first, so that a crash leaves no list without its objects. What is younger than an hour stays: it may
        be part of a snapshot that is being taken. A snapshot that reuses an older object looks again after its list
        is written, and copies what went in that moment.
        """
        with self._translated() as store:
            dropped = surplus(_sound(store), keep)
            for one in dropped:
                store.drop(one.name)
            before = time.time_ns() - int(self._grace_s * 1e9)
            # Read again: a list may have come since.
            named = {file.sha256 for one in _sound(store) for file in one.files}
            gone = store.sweep(named, before)
        return Pruned([one.name for one in dropped], len(gone), sum(found.size for found in gone))

    def _written(self, store: Store, taking: Taking, name: str, facts: Mapping[str, Any]) -> Taken:
        for _ in range(_CHECKS):
            files = taking.files()
            snapshot = Snapshot(
                name=name,
                at=datetime.datetime.now(datetime.UTC).isoformat(),
                version=max(version_of(file.path) for file in files),
                facts=dict(facts),
                files=files,
                seal=seal_of(files),
            )
            store.write(snapshot)
            if not taking.absent(files):
                return _taken(snapshot, taking.copied(files))
            store.drop(name)
        raise failed(f"Objects vanish from {self._uri} while they are stored: see who else removes files there.")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[Store]:
        try:
            yield Store(place_at(self._uri), self._uri)
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise failed(
                f"The snapshots in {self._uri} or the table can't be read or written ({reason}): check that both are "
                "there, their rights, the room on the disk, and the AWS_* settings of an object store."
            ) from error


def _taken(snapshot: Snapshot, copied: dict[str, int]) -> Taken:
    files = [file for file in snapshot.files if file.sha256 in copied]
    total = sum(file.size for file in snapshot.files)
    of_copied = sum(file.size for file in files)
    return Taken(snapshot, len(files), of_copied, len(snapshot.files) - len(files), total - of_copied)


def _sound(store: Store) -> list[Snapshot]:
    sound = []
    for one in store.lists():
        if isinstance(one, Snapshot):
            sound.append(one)
        else:
            log("parley.rag").warning("snapshot left out", extra={"reason": one.message})
    return sound
