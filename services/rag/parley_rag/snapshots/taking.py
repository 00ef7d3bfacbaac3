"""One table copied into the store, as it was between two commits.

Other instances may write and clean up meanwhile, and a clean-up removes files of every version but the newest. So a
copy counts only if the same manifests are there after the last file as before the first: then nobody has committed,
what was the newest version still is, and no clean-up could touch it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from parley_rag.snapshots.places import Found, Place
from parley_rag.snapshots.rules import File, Snapshot, belongs, check_sound, failed, never_changed, version_of
from parley_rag.snapshots.store import Store

AT_ONCE = 4
_PASSES = 5


class Taking:
    """Reads only what the last list does not know already: a file under a random name with the same size and time.

    That is sound because LanceDB never changes such a file. Where somebody else did and the time shows it, the
    content is read and refused; where the time does not show it, the sound content of the last snapshot is kept.
    """

    def __init__(self, table: Place, store: Store, last: Snapshot | None) -> None:
        self._table = table
        self._store = store
        self._last = {file.path: file for file in last.files} if last else {}
        self._there = store.objects()
        self._at_first = set(self._there)

    def files(self) -> list[File]:
        """TransientError `snapshot_failed` for no table, a damaged one, or one that never stands still."""
        for _ in range(_PASSES):
            before = self._manifests()
            if not before:
                raise failed(f"There is no table in {self._table.root} to copy: ingest something first.")
            listed = [found for found in self._table.found() if belongs(found.path)]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                copied = [file for file in pool.map(self._copy, listed) if file]
            if len(copied) == len(listed) and self._manifests() == before:
                return sorted(copied, key=lambda file: file.path)
        raise failed(f"The table in {self._table.root} kept changing while it was copied: try again when writes pause.")

    def copied(self, files: list[File]) -> dict[str, int]:
        """The size of each content of `files` that was not in the store before, by its SHA-256."""
        return {file.sha256: file.size for file in files if file.sha256 not in self._at_first}

    def absent(self, files: list[File]) -> bool:
        """True if the store has lost any of `files` meanwhile; the next pass copies them again."""
        self._there = self._store.objects()
        return any(self._there.get(file.sha256) != file.size for file in files)

    def _manifests(self) -> set[str]:
        return {found.path for found in self._table.found("_versions") if version_of(found.path)}

    def _copy(self, found: Found) -> File | None:
        """None for a file that vanished."""
        before = self._last.get(found.path)
        if before and self._known(found, before):
            return before
        try:
            content = self._store.add(self._table.chunks(found.path), self._there)
        except FileNotFoundError:
            return None
        file = File(found.path, content.size, content.sha256, found.modified)
        check_sound(file, content.ending, before)
        return file

    def _known(self, found: Found, before: File) -> bool:
        same = (found.size, found.modified) == (before.size, before.modified)
        return same and never_changed(found.path) and self._there.get(before.sha256) == before.size
