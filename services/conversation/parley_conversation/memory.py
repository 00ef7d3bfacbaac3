"""States in memory, within a budget and for a while: the least recently used go first; the log has them."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from parley_conversation import metrics
from parley_conversation.adapters import Hot
from parley_proto.conversation import Checkpoint
from parley_proto.envelope import decode, encode
from parley_proto.subjects import shard_of

# What one of them takes besides its JSON: measured 0.6 KB for its id, its place and the bytes' own head.
OVERHEAD = 600


class Kept(NamedTuple):
    """`Hot` at rest, its state as JSON: decoded it takes four times the memory, and most conversations rest."""

    state: bytes
    revision: int
    last_in_seq: int
    since: float


class Memory:
    """`budget` bytes of conversation states, by conversation id, none of them unused for much longer than `idle_s`."""

    def __init__(
        self, budget: int, shards: int, idle_s: float = 600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget = budget
        self._shards = shards
        self._idle_s = idle_s
        self._clock = clock
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._bytes = 0
        self._generations: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, conversation: str) -> Hot | None:
        found = self._kept.get(conversation)
        if found is None:
            return None
        self._kept.move_to_end(conversation)
        state = decode(found.state, Checkpoint) if found.state else None
        return Hot(state, found.revision, found.last_in_seq)

    def generation(self, conversation: str) -> int:
        """Counts how often the conversation's shard was forgotten."""
        return self._generations[shard_of(conversation, self._shards)]

    def put(self, conversation: str, hot: Hot, generation: int) -> None:
        """Remember `hot`, unless its shard was forgotten since `generation`: what was delivered then may have gaps."""
        self.drop(conversation)
        if generation != self.generation(conversation):
            return
        now = self._clock()
        kept = Kept(encode(hot.state) if hot.state else b"", hot.revision, hot.last_in_seq, now)
        self._kept[conversation] = kept
        self._bytes += _size(kept)
        while len(self._kept) > 1 and (self._bytes > self._budget or self._oldest().since < now - self._idle_s):
            self.drop(next(iter(self._kept)))
        self._measure()

    def _oldest(self) -> Kept:
        return next(iter(self._kept.values()))

    def drop(self, conversation: str) -> None:
        found = self._kept.pop(conversation, None)
        if found:
            self._bytes -= _size(found)

    def drop_shard(self, shard: int) -> None:
        self._generations[shard] += 1
        for conversation in [cid for cid in self._kept if shard_of(cid, self._shards) == shard]:
            self.drop(conversation)
        self._measure()

    def _measure(self) -> None:
        metrics.STATES.set(len(self._kept))
        metrics.STATE_BYTES.set(self._bytes)


def _size(kept: Kept) -> int:
    return len(kept.state) + OVERHEAD
