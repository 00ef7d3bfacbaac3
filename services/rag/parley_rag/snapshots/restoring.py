"""A snapshot put in the place of a table.

First everything is copied beside the table and its hashes are compared; until then the table is not touched. Then, on
a disk, the old folder is moved aside and the new one to its name. An object store renames nothing: there the files are
moved into the old prefix one by one, each at once, the manifests last. Until the very last one the table is what it
was, as good or bad; nothing is kept aside, versioning of the bucket does that.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from parley_rag.snapshots.places import Place
from parley_rag.snapshots.rules import Content, File, Snapshot, arranged, damaged, failed, version_of
from parley_rag.snapshots.store import Store
from parley_rag.snapshots.taking import AT_ONCE

_FRESH = ".restoring-"
_ASIDE = ".damaged-"
_TRIES = 10


def restore(store: Store, snapshot: Snapshot, table: Place) -> str:
    """Where the old table is now, empty where there was none or none is kept.

    Raises PermanentError `snapshot_damaged` before anything is touched, and OSError.
    """
    for left in table.siblings(_FRESH):
        left.remove_all()
    fresh = table.beside(_FRESH + uuid.uuid4().hex)
    try:
        _fill(store, snapshot, fresh)
        if table.on_disk:
            return _swap(Path(fresh.root), Path(table.root))
        _move_into(fresh, table, snapshot.files)
        return ""
    finally:
        with contextlib.suppress(OSError):
            fresh.remove_all()


def undo_half(table: Path) -> str:
    """Put back what was moved aside by a restore that was killed between its two moves; what is back, '' for nothing.

    Only then is there a copy that was to be put in place, an old table aside, and none between them.
    """
    aside = sorted(table.parent.glob(f"{table.name}{_ASIDE}*"))
    if table.exists() or not aside or not any(table.parent.glob(f"{table.name}{_FRESH}*")):
        return ""
    aside[-1].rename(table)
    return str(aside[-1])


def _fill(store: Store, snapshot: Snapshot, fresh: Place) -> None:
    def copy(file: File) -> None:
        content = Content()
        try:
            fresh.write(file.path, content.through(store.chunks(file.sha256)))
        except FileNotFoundError as error:
            raise damaged(snapshot.name, f"{file.path} is not in the store") from error
        if (content.size, content.sha256) != (file.size, file.sha256):
            store.set_aside(file.sha256)
            raise damaged(snapshot.name, f"{file.path} has another content than was stored")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(copy, snapshot.files):
            pass


def _swap(fresh: Path, table: Path) -> str:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = ""
    for attempt in range(_TRIES):
        aside = table.with_name(f"{table.name}{_ASIDE}{now}{f'-{attempt}' if attempt else ''}")
        with contextlib.suppress(FileNotFoundError):
            table.rename(aside)
            kept = kept or str(aside)
        try:
            fresh.rename(table)
        except OSError as error:
            # A service that found no table there has begun an empty one.
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return kept
    raise failed(f"Somebody keeps writing to {table}: stop the service, and restore again.")


def _move_into(fresh: Place, table: Place, files: list[File]) -> None:
    """The newest manifest of the old table goes last, if it is newer than the snapshot's: that is the moment."""
    manifests = [file for file in arranged(files) if version_of(file.path)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        others = [file.path for file in files if not version_of(file.path)]
        for _ in pool.map(lambda path: fresh.move(path, path, into=table), others):
            pass
    for file in manifests:
        fresh.move(file.path, file.path, into=table)
    wanted = {file.path for file in files}
    for part in ("_versions", "_refs", "tree"):
        left = [found.path for found in table.found(part) if found.path not in wanted]
        for path in sorted(left, key=version_of):
            table.remove(path)
