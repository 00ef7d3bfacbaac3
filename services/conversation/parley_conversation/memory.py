"""States in memory within a budget: the least recently used go first, and are read again from the log."""

from __future__ import annotations

from collections import Counter, OrderedDict

from parley_conversation import metrics
from parley_conversation.adapters import Hot
from parley_proto.envelope import encode
from parley_proto.subjects import shard_of

# A decoded state costs a few times its JSON: measured 3.4 to 4.6 on windows of 5 to 30 lines.
OVERHEAD = 5
EMPTY = 1_000


class Memory:
    """`budget` bytes of conversation states, by conversation id."""

    def __init__(self, budget: int, shards: int) -> None:
        self._budget = budget
        self._shards = shards
        self._hot: OrderedDict[str, tuple[Hot, int]] = OrderedDict()
        self._bytes = 0
        self._generations: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._hot)

    def get(self, conversation: str) -> Hot | None:
        found = self._hot.get(conversation)
        if found is None:
            return None
        self._hot.move_to_end(conversation)
        return found[0]

    def generation(self, conversation: str) -> int:
        """Counts how often the conversation's shard was forgotten."""
        return self._generations[shard_of(conversation, self._shards)]

    def put(self, conversation: str, hot: Hot, generation: int) -> None:
        """Remember `hot`, unless its shard was forgotten since `generation`: what was delivered then may have gaps."""
        self.drop(conversation)
        if generation != self.generation(conversation):
            return
        size = OVERHEAD * len(encode(hot.state)) if hot.state else EMPTY
        self._hot[conversation] = (hot, size)
        self._bytes += size
        while self._bytes > self._budget and len(self._hot) > 1:
            self.drop(next(iter(self._hot)))
        self._measure()

    def drop(self, conversation: str) -> None:
        found = self._hot.pop(conversation, None)
        if found:
            self._bytes -= found[1]

    def drop_shard(self, shard: int) -> None:
        self._generations[shard] += 1
        for conversation in [cid for cid in self._hot if shard_of(cid, self._shards) == shard]:
            self.drop(conversation)
        self._measure()

    def _measure(self) -> None:
        metrics.STATES.set(len(self._hot))
        metrics.STATE_BYTES.set(self._bytes)
