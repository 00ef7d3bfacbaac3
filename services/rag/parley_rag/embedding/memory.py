"""Vectors in memory: what customers asked last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from parley_rag.embedding.text import Key


class MemoryCache:
    """At most `size` vectors; past that the least recently used go."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._vectors: OrderedDict[Key, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._vectors)

    def find(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """Those of `keys` that are here."""
        found = {key: self._vectors[key] for key in keys if key in self._vectors}
        for key in found:
            self._vectors.move_to_end(key)
        return found

    def keep(self, vectors: Mapping[Key, bytes]) -> None:
        for key, vector in vectors.items():
            self._vectors[key] = vector
            self._vectors.move_to_end(key)
        while len(self._vectors) > self._size:
            self._vectors.popitem(last=False)
