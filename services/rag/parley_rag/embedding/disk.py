"""Vectors on disk, by the hash of their text: what was ingested once is not encoded again after a restart.

One SQLite file that several processes share. A cache may fail in any way and nobody but the log hears of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

from parley_mesh.telemetry import log
from parley_rag.embedding import metrics
from parley_rag.embedding.text import Key

T = TypeVar("T")
_LOCKED_S = 2.0
# Five vectors of 384 numbers in a page.
_PAGE = 8_192
# A use is written down once an hour: reading must not cost a write each time.
_USE_S = 3_600
_PRUNED = 256
_TOGETHER = 500
_KEY, _CRC, _VECTOR = 0, 2, 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    key BLOB NOT NULL, model TEXT NOT NULL, used INTEGER NOT NULL, crc INTEGER NOT NULL, vector BLOB NOT NULL,
    UNIQUE (key, model)
);
CREATE INDEX IF NOT EXISTS vectors_by_use ON vectors (used);
"""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class DiskCache:
    """At most `most_bytes` of vectors in `path`; past that those that were not used for longest go.

    Everything happens in a thread of its own. A damaged file is put aside and begun anew, once; after any other
    failure the cache is off until the next start.
    """

    def __init__(self, path: Path, most_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._most_bytes = most_bytes
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedding-cache")
        self._open: sqlite3.Connection | None = None
        self._inode = 0
        self._begun_anew = False
        self._off = False
        self._closed = False

    async def find(self, model: str, keys: Sequence[Key]) -> dict[Key, bytes]:
        """The vectors of `model` that are here; none where the cache fails."""
        if self._off:
            return {}
        return await asyncio.wrap_future(self._thread.submit(self._try, self._read, {}, model, keys))

    def keep(self, model: str, vectors: Mapping[Key, bytes]) -> None:
        """Write soon, in one transaction; nobody waits for it."""
        if not self._off:
            self._thread.submit(self._try, self._write, None, model, vectors)

    async def close(self) -> None:
        """Write what is waiting to be written, and close; a second time does nothing."""
        if self._closed:
            return
        self._off = self._closed = True
        await asyncio.wrap_future(self._thread.submit(self._disconnect))
        self._thread.shutdown(wait=False)

    def _try(self, do: Callable[..., T], otherwise: T, *arguments: Any) -> T:
        try:
            return do(self._connection(), *arguments)
        except (sqlite3.Error, OSError) as error:
            metrics.DISK_FAILURES.inc()
            self._live_with(error)
            return otherwise

    def _connection(self) -> sqlite3.Connection:
        if self._open is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            opened = sqlite3.connect(self._path, timeout=_LOCKED_S)
            try:
                self._inode = self._path.stat().st_ino
                _prepare(opened)
            except BaseException:
                opened.close()
                raise
            self._open = opened
        return self._open

    def _read(self, opened: sqlite3.Connection, model: str, keys: Sequence[Key]) -> dict[Key, bytes]:
        rows = [row for part in _parts(keys) for row in opened.execute(_find(len(part)), (model, *part))]
        sound = [row for row in rows if crc32(row[_VECTOR]) == row[_CRC]]
        now = int(self._clock())
        used = [(now, key, model) for key, before, _, _ in sound if before < now - _USE_S]
        if used:
            with opened:
                opened.executemany("UPDATE vectors SET used = ? WHERE key = ? AND model = ?", used)
        return {row[_KEY]: row[_VECTOR] for row in sound}

    def _write(self, opened: sqlite3.Connection, model: str, vectors: Mapping[Key, bytes]) -> None:
        now = int(self._clock())
        rows = [(key, model, now, crc32(vector), vector) for key, vector in vectors.items()]
        with opened:
            opened.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?, ?, ?)", rows)
        self._prune(opened)

    def _prune(self, opened: sqlite3.Connection) -> None:
        """Let some go where there are too many: a little after each write, so that no reader waits for long."""
        pages, free = (opened.execute(f"PRAGMA {count}").fetchone()[0] for count in ("page_count", "freelist_count"))
        metrics.DISK_BYTES.set(pages * _PAGE)
        if (pages - free) * _PAGE <= self._most_bytes:
            return
        with opened:
            opened.execute(
                "DELETE FROM vectors WHERE rowid IN (SELECT rowid FROM vectors ORDER BY used LIMIT ?)", (_PRUNED,)
            )
        opened.execute(f"PRAGMA incremental_vacuum({_PRUNED})").fetchall()

    def _live_with(self, error: Exception) -> None:
        """Whoever shares the file may hold it too long: that is one look-up lost. Anything else is for the log."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return
        self._disconnect()
        if code in _DAMAGED and not self._begun_anew:
            self._begin_anew(error)
            return
        self._off = True
        log("parley.rag").warning("the embedding cache is off", extra={"file": str(self._path), "reason": str(error)})

    def _begin_anew(self, error: Exception) -> None:
        self._begun_anew = True
        aside = self._path.with_suffix(".damaged")
        # Another process may have done so already: then the file under this name is a new one.
        if self._path.stat().st_ino == self._inode:
            os.replace(self._path, aside)
            for suffix in ("-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        log("parley.rag").warning(
            "the embedding cache was damaged and is begun anew", extra={"aside": str(aside), "reason": str(error)}
        )

    def _disconnect(self) -> None:
        opened, self._open = self._open, None
        # What it has committed is safe, and what it has not is only a cache.
        with contextlib.suppress(sqlite3.Error):
            if opened:
                opened.close()


def _prepare(opened: sqlite3.Connection) -> None:
    """The first two hold only for a file that is new."""
    for pragma in (f"page_size = {_PAGE}", "auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = NORMAL"):
        opened.execute(f"PRAGMA {pragma}")
    opened.executescript(_SCHEMA)


def _find(count: int) -> str:
    marks = ",".join("?" * count)
    return f"SELECT key, used, crc, vector FROM vectors WHERE model = ? AND key IN ({marks})"


def _parts(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for at in range(0, len(keys), _TOGETHER):
        yield keys[at : at + _TOGETHER]
