"""The model off the event loop: texts that arrive together are encoded together, and known ones are remembered."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from parley_rag import metrics
from parley_rag.adapters import Model

Key = bytes


class _Waiting(msgspec.Struct, frozen=True):
    text: str
    vector: asyncio.Future[bytes]


class Encoder:
    """Texts to vectors of little-endian float32.

    What arrives while the model works forms the next batch, of at most `batch_size` texts. An idle model starts at
    once: on a processor a batch of 32 costs as much a text as one alone (3.5 against 3.6 ms), so that waiting for
    company would only be late. Vectors are kept by a hash of their text; past `cache_size` the least recently used go.
    """

    def __init__(self, model: Model, *, batch_size: int, cache_size: int) -> None:
        self.model = model
        self._batch_size = batch_size
        self._cache_size = cache_size
        self._remembered: OrderedDict[Key, bytes] = OrderedDict()
        self._waiting: OrderedDict[Key, _Waiting] = OrderedDict()
        self._running: dict[Key, _Waiting] = {}
        self._pump: asyncio.Task[None] | None = None
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")

    async def vectors(self, texts: Sequence[str], *, remember: bool = True) -> list[bytes]:
        """One vector a text, in order; TransientError when the model fails. `remember` False spares the cache."""
        keys = [_key(text) for text in texts]
        found = {key: self._remembered[key] for key in keys if key in self._remembered}
        for key in found:
            self._remembered.move_to_end(key)
        metrics.TEXTS.labels("remembered").inc(len(found))
        awaited = {key: self._ask(key, text) for key, text in zip(keys, texts, strict=True) if key not in found}
        if awaited:
            # Shielded: another request may wait for the same text.
            results = await asyncio.gather(*(asyncio.shield(future) for future in awaited.values()))
            found |= dict(zip(awaited, results, strict=True))
            if remember:
                self._remember(awaited, found)
        return [found[key] for key in keys]

    async def close(self) -> None:
        """Finish what waits, then let the threads go."""
        if self._pump:
            await self._pump
        self._threads.shutdown(wait=False)

    def _ask(self, key: Key, text: str) -> asyncio.Future[bytes]:
        asked = self._waiting.get(key) or self._running.get(key)
        if not asked:
            asked = self._waiting[key] = _Waiting(text, asyncio.get_running_loop().create_future())
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._encode_all())
        return asked.vector

    async def _encode_all(self) -> None:
        while self._waiting:
            keys = list(self._waiting)[: self._batch_size]
            self._running = {key: self._waiting.pop(key) for key in keys}
            await self._encode(self._running)
            self._running = {}

    async def _encode(self, batch: dict[Key, _Waiting]) -> None:
        texts = [waiting.text for waiting in batch.values()]
        metrics.BATCH.observe(len(texts))
        metrics.TEXTS.labels("encoded").inc(len(texts))
        try:
            loop = asyncio.get_running_loop()
            rows = await loop.run_in_executor(self._threads, self.model.encode, texts)
        except Exception as error:
            for waiting in batch.values():
                waiting.vector.set_exception(error)
            return
        for waiting, row in zip(batch.values(), rows, strict=True):
            waiting.vector.set_result(row.astype("<f4").tobytes())

    def _remember(self, keys: Sequence[Key] | dict[Key, asyncio.Future[bytes]], found: dict[Key, bytes]) -> None:
        for key in keys:
            self._remembered[key] = found[key]
            self._remembered.move_to_end(key)
        while len(self._remembered) > self._cache_size:
            self._remembered.popitem(last=False)


def _key(text: str) -> Key:
    """The cache holds no customer's words, only their hash."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
