"""Lists and objects as they lie in the snapshot store."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator

import msgspec

from parley_proto.errors import PermanentError
from parley_rag.snapshots.places import Found, Place
from parley_rag.snapshots.rules import Content, Snapshot, damaged, missing, seal_of

_OBJECTS = "objects"
_LISTS = "snapshots"
_INCOMING = "incoming"
_DAMAGED = "damaged"


class Store:
    """Nothing is under its final name before it is whole. Every method raises OSError."""

    def __init__(self, place: Place, where: str) -> None:
        self._place = place
        self.where = where

    def objects(self) -> dict[str, int]:
        """The size of every object, by its SHA-256."""
        return {_sha256(found): found.size for found in self._place.found(_OBJECTS)}

    def add(self, chunks: Iterable[bytes], there: dict[str, int]) -> Content:
        """Store a content, read once, unless it is `there` already."""
        content = Content()
        path = self._arrive(content.through(chunks))
        if there.get(content.sha256) == content.size:
            self._place.remove(path)
        else:
            self._place.move(path, _object(content.sha256))
            there[content.sha256] = content.size
        return content

    def chunks(self, sha256: str) -> Iterator[bytes]:
        return self._place.chunks(_object(sha256))

    def set_aside(self, sha256: str) -> None:
        """Take an object with a wrong content out of the way: the next snapshot stores a sound one again."""
        with contextlib.suppress(OSError):
            self._place.move(_object(sha256), f"{_DAMAGED}/{sha256}")

    def has(self, name: str) -> bool:
        return self._place.size(_list(name)) is not None

    def lists(self) -> list[Snapshot | PermanentError]:
        """Every list, newest first; the damaged ones, as what is wrong with them, at the end."""
        names = [found.path for found in self._place.found(_LISTS)]
        read = [self._read(path.removeprefix(f"{_LISTS}/").removesuffix(".json")) for path in sorted(names)]
        return sorted(read, key=lambda one: one.at if isinstance(one, Snapshot) else "", reverse=True)

    def find(self, name: str) -> Snapshot:
        """PermanentError `snapshot_missing` or `snapshot_damaged`."""
        if not self.has(name):
            raise missing(name, self.where)
        read = self._read(name)
        if isinstance(read, PermanentError):
            raise read
        return read

    def write(self, snapshot: Snapshot) -> None:
        path = self._arrive([msgspec.json.format(msgspec.json.encode(snapshot), indent=1)])
        self._place.move(path, _list(snapshot.name))

    def drop(self, name: str) -> None:
        self._place.remove(_list(name))

    def sweep(self, named: set[str], before: int) -> list[Found]:
        """Remove objects that are not `named` and what never arrived, both from `before` this time (ns since 1970)."""
        objects = [found for found in self._place.found(_OBJECTS) if _sha256(found) not in named]
        gone = [found for found in [*objects, *self._place.found(_INCOMING)] if found.modified < before]
        for found in gone:
            self._place.remove(found.path)
        return gone

    def _read(self, name: str) -> Snapshot | PermanentError:
        try:
            snapshot = msgspec.json.decode(b"".join(self._place.chunks(_list(name))), type=Snapshot)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return damaged(name, f"its list can't be read ({error})")
        if snapshot.name != name or snapshot.seal != seal_of(snapshot.files):
            return damaged(name, "its list was changed")
        return snapshot

    def _arrive(self, chunks: Iterable[bytes]) -> str:
        path = f"{_INCOMING}/{uuid.uuid4().hex}"
        try:
            self._place.write(path, chunks)
        except BaseException:
            # A disk that is full must not be kept full by what did not fit.
            with contextlib.suppress(OSError):
                self._place.remove(path)
            raise
        return path


def _object(sha256: str) -> str:
    return f"{_OBJECTS}/{sha256[:2]}/{sha256}"


def _list(name: str) -> str:
    return f"{_LISTS}/{name}.json"


def _sha256(found: Found) -> str:
    return found.path.rsplit("/", 1)[1]
