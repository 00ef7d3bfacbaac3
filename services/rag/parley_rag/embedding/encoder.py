"""Texts to vectors: known ones from the caches, the others from the workers, together and each only once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from parley_proto.errors import TransientError
from parley_rag.embedding import metrics
from parley_rag.embedding.disk import DiskCache
from parley_rag.embedding.embedder import Embedder
from parley_rag.embedding.lanes import Lanes
from parley_rag.embedding.memory import MemoryCache
from parley_rag.embedding.sizing import Sizing
from parley_rag.embedding.text import Key, Text, key_of
from parley_rag.embedding.workers import EmbeddingWorkers

# As many portions of one ingestion wait at once: enough for every worker, and no ingestion is refused for its length.
_PORTIONS = 16


class Encoder:
    """Texts to vectors of little-endian float32, in batches of at most `batch_size`.

    What arrives while the workers are busy waits in two lanes, at most `max_waiting` texts. The last `cache_size`
    vectors of queries stay in memory, those of an ingestion in the file `disk`, at most `disk_mb`: a vector tells much
    of its text, and what customers ask is not to outlive the process.
    """

    def __init__(
        self,
        model: Embedder,
        *,
        batch_size: int,
        cache_size: int,
        max_waiting: int = 5_000,
        disk: Path | None = None,
        disk_mb: int = 256,
        sizing: Sizing | None = None,
    ) -> None:
        self.model = model
        self._max_waiting = max_waiting
        self._closed = False
        self._memory = MemoryCache(cache_size)
        self._disk = DiskCache(disk, disk_mb << 20) if disk else None
        self._lanes = Lanes(batch_size, model.portion)
        sizing = sizing or Sizing(model.least, model.most, min(model.portion, batch_size))
        self._workers = EmbeddingWorkers(model, self._lanes, sizing, self._keep)

    @property
    def workers(self) -> int:
        """How many workers can encode just now."""
        return self._workers.ready

    @property
    def waiting(self) -> int:
        """How many texts wait for a worker."""
        return len(self._lanes)

    @property
    def _space(self) -> str:
        """Vectors of one space can be compared: of one model, as long as each other."""
        return f"{self.model.name}/{self.model.dimensions}"

    def start(self) -> None:
        """Begin to start workers, so that the first text need not wait for one."""
        self._workers.start()

    async def vectors(self, texts: Sequence[str], *, remember: bool = True, urgent: bool = True) -> list[bytes]:
        """One vector a text, in order. `remember` keeps them in memory, where customers ask again; else on disk.

        What is not `urgent` lets customers go first. TransientError `overloaded` when too many texts wait,
        `embedding_unavailable` without any worker, `embedding_failed` when the model fails; PermanentError for what
        the model refuses.
        """
        keys = [key_of(text) for text in texts]
        found = self._memory.find(keys)
        metrics.TEXTS.labels("memory").inc(len(found))
        wanted = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        for part in [wanted] if urgent else _parts(wanted, min(_PORTIONS * self.model.portion, self._max_waiting)):
            found |= await self._find(part, urgent=urgent, on_disk=not remember)
        if remember:
            self._memory.keep({key: found[key] for key in wanted})
        return [found[key] for key in keys]

    async def close(self) -> None:
        """Finish what waits, then let workers and caches go; a second time does nothing."""
        self._closed = True
        unfinished = [text.vector for text in self._lanes.unfinished()]
        if unfinished:
            await asyncio.wait(unfinished)
        await self._workers.close()
        if self._disk:
            await self._disk.close()
        await self.model.close()

    async def _find(self, wanted: Mapping[Key, str], *, urgent: bool, on_disk: bool) -> dict[Key, bytes]:
        found: dict[Key, bytes] = {}
        if on_disk and self._disk and wanted:
            found = await self._disk.find(self._space, list(wanted))
            metrics.TEXTS.labels("disk").inc(len(found))
        rest = {key: text for key, text in wanted.items() if key not in found}
        return found | await self._encoded(rest, urgent=urgent, kept=on_disk) if rest else found

    async def _encoded(self, wanted: Mapping[Key, str], *, urgent: bool, kept: bool) -> dict[Key, bytes]:
        self._admit(wanted)
        asked = [self._ask(key, text, urgent=urgent, kept=kept) for key, text in wanted.items()]
        self._workers.wake()
        try:
            # Shielded: another request may wait for the same text.
            vectors = await asyncio.gather(*(asyncio.shield(text.vector) for text in asked))
        finally:
            for text in asked:
                self._leave(text)
        return dict(zip(wanted, vectors, strict=True))

    def _admit(self, wanted: Mapping[Key, str]) -> None:
        if self._closed:
            raise TransientError("The service is stopping: ask another instance.", code="embedding_unavailable")
        self._workers.start()
        if self._workers.unavailable:
            raise self._workers.unavailable
        new = sum(self._lanes.get(key) is None for key in wanted)
        if len(self._lanes) + new > self._max_waiting:
            metrics.REFUSED.labels(self.model.name).inc()
            raise TransientError("Too many texts wait to be embedded: try again in a moment.", code="overloaded")
        metrics.TEXTS.labels("encoded").inc(new)

    def _ask(self, key: Key, text: str, *, urgent: bool, kept: bool) -> Text:
        asked = self._lanes.get(key) or Text(key, text, asyncio.get_running_loop().create_future())
        asked.callers += 1
        asked.kept |= kept
        self._lanes.add(asked, urgent=urgent)
        return asked

    def _leave(self, text: Text) -> None:
        """Nothing is encoded for nobody: a text that waits goes with the last who asked for it."""
        text.callers -= 1
        if not text.callers and not text.vector.done() and self._lanes.discard(text.key):
            text.vector.cancel()
            self._workers.changed()

    def _keep(self, vectors: dict[Key, bytes]) -> None:
        if self._disk and vectors:
            self._disk.keep(self._space, vectors)


def _parts(wanted: Mapping[Key, str], size: int) -> Iterator[dict[Key, str]]:
    items = list(wanted.items())
    for at in range(0, len(items), size):
        yield dict(items[at : at + size])
