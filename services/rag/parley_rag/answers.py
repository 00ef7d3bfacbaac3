"""The query cache: what a search found, for as long as the table stays as it was."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from parley_proto.rag import Passage, SearchRequest
from parley_rag import metrics
from parley_rag.domain import Mode
from parley_rag.questions import Probe
from parley_rag.requests import Scope

Key = tuple[tuple[int, int], Scope, Mode, int, tuple[Probe, ...]]


class Answers:
    """Passages by table version, scope and what was looked up; past `size` the least recently used go, 0 keeps none.

    What was said before a question belongs to the key only where it was looked up too: otherwise every customer would
    have keys of their own.

    A write makes another version, so nothing is ever invalidated by hand. What another instance writes is seen when
    the open table is next checked, within a second.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Key, list[Passage]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, version: tuple[int, int], scope: Scope, request: SearchRequest, ways: Sequence[Probe]) -> Key:
        return version, scope, request.mode, request.limit, tuple(ways)

    def get(self, key: Key) -> list[Passage] | None:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        metrics.QUERY_CACHE.labels("miss" if found is None else "hit").inc()
        return found

    def keep(self, key: Key, passages: list[Passage]) -> None:
        self._kept[key] = passages
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """For a table that was put in the place of another: its versions count anew."""
        self._kept.clear()
