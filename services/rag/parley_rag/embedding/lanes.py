"""Texts that wait for a worker, in two lanes: what customers ask before what is ingested. No I/O."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from parley_rag.embedding.text import Key, Text

# Under constant queries every fifth batch is a portion of an ingestion.
_IN_A_ROW = 4


class Batch(msgspec.Struct, frozen=True):
    """Texts that are encoded together, of one lane."""

    texts: list[Text]
    urgent: bool


class Lanes:
    """Batches of at most `batch_size` urgent texts, or of `portion` others; its length is what waits."""

    def __init__(self, batch_size: int, portion: int) -> None:
        self._batch_size = batch_size
        self._portion = min(portion, batch_size)
        self._urgent: OrderedDict[Key, Text] = OrderedDict()
        self._others: OrderedDict[Key, Text] = OrderedDict()
        self._running: dict[Key, Text] = {}
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    def get(self, key: Key) -> Text | None:
        """The text behind `key` if it waits or is being encoded."""
        return self._running.get(key) or self._urgent.get(key) or self._others.get(key)

    def add(self, text: Text, *, urgent: bool) -> None:
        """Put `text` at the end of its lane; one that waits already moves up when it has become urgent."""
        if text.key in self._running:
            return
        if urgent:
            self._others.pop(text.key, None)
            self._urgent.setdefault(text.key, text)
        elif text.key not in self._urgent:
            self._others.setdefault(text.key, text)

    def discard(self, key: Key) -> bool:
        """Let a text go that nobody waits for any more; False when it does not wait here."""
        return bool(self._urgent.pop(key, None) or self._others.pop(key, None))

    def take(self, among: int) -> Batch:
        """The next batch, empty where nothing waits; `among` workers share what is urgent."""
        urgent = bool(self._urgent) and not (self._others and self._in_a_row >= _IN_A_ROW)
        self._in_a_row = self._in_a_row + 1 if urgent and self._others else 0
        # A batch costs as much a text as one alone: who shares it with fewer is answered sooner.
        share = min(self._batch_size, -(-len(self._urgent) // among))
        batch = Batch(_first(self._urgent, share) if urgent else _first(self._others, self._portion), urgent)
        self._running |= {text.key: text for text in batch.texts}
        return batch

    def finish(self, batch: Batch) -> None:
        """A batch is not being encoded any more."""
        for text in batch.texts:
            self._running.pop(text.key, None)

    def give_back(self, batch: Batch) -> None:
        """Put a batch in front of its lane again."""
        self.finish(batch)
        lane = self._urgent if batch.urgent else self._others
        for text in reversed(batch.texts):
            lane[text.key] = text
            lane.move_to_end(text.key, last=False)

    def unfinished(self) -> list[Text]:
        """Everything that waits or is being encoded."""
        return [*self._running.values(), *self._urgent.values(), *self._others.values()]

    def clear(self) -> list[Text]:
        """Everything that waited: nothing does now."""
        waited = [*self._urgent.values(), *self._others.values()]
        self._urgent.clear()
        self._others.clear()
        return waited


def _first(lane: OrderedDict[Key, Text], count: int) -> list[Text]:
    return [lane.popitem(last=False)[1] for _ in range(min(count, len(lane)))]
