"""What makes up a table and a snapshot of it. Pure.

The layout is that of the Lance format: data/, _deletions/, _indices/ and _transactions/ hold files under random names
that are never changed; _versions/ holds one numbered manifest a version; _refs/ holds tags and branches, tree/ what
belongs to branches. A version is there when its manifest is, and the highest one is the present.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any

import msgspec

from parley_proto.envelope import digest
from parley_proto.errors import PermanentError, TransientError

AUTOMATIC = "auto-"

_NAME = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_NEVER_CHANGED = {"data", "_deletions", "_indices", "_transactions"}
_ENDINGS = {".lance": b"LANC", ".idx": b"LANC", ".manifest": b"LANC", ".arrow": b"ARROW1"}
_LONGEST_ENDING = 6
# Lance names manifests by counting down from here, so that a listing begins with the newest.
_COUNTED_DOWN = 2**64 - 1
# Where Lance last saw the newest version. It may name a version that the snapshot has not, and is made anew.
_HINT = "latest_version_hint.json"


class File(msgspec.Struct, frozen=True):
    """A file of a table: `path` below the table's folder, `size` in bytes, `modified` in nanoseconds since 1970."""

    path: str
    size: int
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    modified: int = 0

    def __post_init__(self) -> None:
        if not self.path or self.path.startswith("/") or ".." in PurePosixPath(self.path).parts:
            raise ValueError(f"{self.path[:80]!r} is not a path below a table")


class Snapshot(msgspec.Struct, frozen=True):
    """A table as it was: `at` in UTC (RFC 3339), what the caller knew of it in `facts`, and its files."""

    name: str
    at: str
    version: int
    facts: dict[str, Any]
    files: list[File]
    seal: str


class Taken(msgspec.Struct, frozen=True):
    """A snapshot, and how much of it was copied and how much was there already."""

    snapshot: Snapshot
    copied_files: int
    copied_bytes: int
    reused_files: int
    reused_bytes: int


class Pruned(msgspec.Struct, frozen=True):
    """What was removed: lists by name, and objects that no list names."""

    snapshots: list[str]
    objects: int
    bytes: int


class Content:
    """Size, SHA-256 and last bytes of what passes through."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0
        self.ending = b""

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            self.ending = (self.ending + chunk[-_LONGEST_ENDING:])[-_LONGEST_ENDING:]
            yield chunk


def check_name(name: str) -> None:
    """PermanentError `bad_snapshot_name` for what can't be a file name everywhere."""
    if not _NAME.match(name):
        raise PermanentError(
            f"{name[:40]!r} can't name a snapshot: begin with a letter or digit, then letters, digits, . _ and dashes.",
            code="bad_snapshot_name",
        )


def seal_of(files: Sequence[File]) -> str:
    """Changes with any path, size or hash: a list that was damaged is found out."""
    return digest(*(f"{file.path}\n{file.size}\n{file.sha256}" for file in files))


def belongs(path: str) -> bool:
    """True for what a snapshot keeps: no hint, nothing that a writer has not given its name yet."""
    name = PurePosixPath(path).name
    return name != _HINT and not name.startswith(".") and not name.endswith(".tmp")


def never_changed(path: str) -> bool:
    """True for files under random names. Size and time of such a file say as much as its content."""
    return not _NEVER_CHANGED.isdisjoint(PurePosixPath(path).parts[:-1])


def version_of(path: str) -> int:
    """The version whose manifest of the main branch `path` is; 0 for any other file."""
    file = PurePosixPath(path)
    if file.parent.as_posix() != "_versions" or file.suffix != ".manifest" or not file.stem.isdecimal():
        return 0
    number = int(file.stem)
    # 20 digits count down, fewer are the version itself (manifests of the first naming scheme).
    return _COUNTED_DOWN - number if len(file.stem) == len(str(_COUNTED_DOWN)) else number


def arranged(files: Sequence[File]) -> list[File]:
    """In an order that shows no version before all of its files: manifests last, the newest at the very end."""
    return sorted(files, key=lambda file: (version_of(file.path), file.path.startswith("_refs/"), file.path))


def check_sound(file: File, ending: bytes, before: File | None) -> None:
    """TransientError `snapshot_failed` where the table is damaged; `before` is the same file in the last list."""
    wanted = _ENDINGS.get(PurePosixPath(file.path).suffix, b"")
    if not ending.endswith(wanted):
        raise damaged_table(f"{file.path} has not the end that Lance writes")
    if before and never_changed(file.path) and file.sha256 != before.sha256:
        raise damaged_table(f"{file.path} was changed, and LanceDB never does that")


def surplus(snapshots: Sequence[Snapshot], keep: int) -> list[Snapshot]:
    """The automatic ones of `snapshots` (newest first) after the first `keep`; those that somebody named stay."""
    return [one for one in snapshots if one.name.startswith(AUTOMATIC)][keep:]


def damaged_table(reason: str) -> TransientError:
    return failed(f"The table is damaged and was not copied: {reason}. Bring it back with `parley kb restore`.")


def failed(sentence: str) -> TransientError:
    return TransientError(sentence, code="snapshot_failed")


def damaged(name: str, reason: str) -> PermanentError:
    return PermanentError(
        f"Snapshot {name} is damaged: {reason}. Restore another one; `parley kb snapshots` lists them.",
        code="snapshot_damaged",
    )


def missing(name: str, where: str) -> PermanentError:
    return PermanentError(
        f"There is no snapshot {name[:80]!r} in {where}: `parley kb snapshots` lists those that are there.",
        code="snapshot_missing",
    )
