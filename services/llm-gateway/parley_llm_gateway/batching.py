"""Texts of many callers in one call upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from parley_llm_gateway.errors import ProviderRefused
from parley_llm_gateway.providers.base import Vectors

Upstream = Callable[[Sequence[str], int | None], Awaitable[Vectors]]
_FLOAT = 4


class _Ask(msgspec.Struct):
    texts: list[str]
    answer: asyncio.Future[Vectors]


class Batcher:
    """Waits `wait_s` seconds for others, or until `size` texts are there. One model's; dimensions never mix."""

    def __init__(self, upstream: Upstream, wait_s: float = 0.003, size: int = 64) -> None:
        self._upstream = upstream
        self._wait_s = wait_s
        self._size = size
        self._open: dict[int | None, list[_Ask]] = {}
        self._timers: dict[int | None, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def embed(self, texts: Sequence[str], dimensions: int | None = None) -> Vectors:
        """The vectors of `texts`, in order. Raises what the call upstream raised."""
        parts = [texts[start : start + self._size] for start in range(0, len(texts), self._size)]
        asks = [self._ask(list(part), dimensions) for part in parts]
        try:
            return _joined([await ask.answer for ask in asks])
        finally:
            for ask in asks:
                ask.answer.cancel()

    def _ask(self, texts: list[str], dimensions: int | None) -> _Ask:
        ask = _Ask(texts, asyncio.get_running_loop().create_future())
        waiting = self._open.setdefault(dimensions, [])
        if sum(len(other.texts) for other in waiting) + len(texts) > self._size:
            self._send(dimensions)
            waiting = self._open.setdefault(dimensions, [])
        waiting.append(ask)
        if sum(len(other.texts) for other in waiting) >= self._size:
            self._send(dimensions)
        elif dimensions not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[dimensions] = loop.call_later(self._wait_s, self._send, dimensions)
        return ask

    def _send(self, dimensions: int | None) -> None:
        timer = self._timers.pop(dimensions, None)
        if timer:
            timer.cancel()
        asks = [ask for ask in self._open.pop(dimensions, []) if not ask.answer.done()]
        if asks:
            task = asyncio.create_task(self._call(asks, dimensions))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            for ask in asks:
                ask.answer.add_done_callback(lambda _done: _end_if_alone(task, asks))

    async def _call(self, asks: list[_Ask], dimensions: int | None) -> None:
        texts = [text for ask in asks for text in ask.texts]
        try:
            vectors = await self._upstream(texts, dimensions)
            _share(vectors, asks)
        except ProviderRefused as error:
            # What is refused is somebody's text, not everybody's.
            if len(asks) == 1 or error.code == "unknown_model":
                _fail(asks, error)
            else:
                await asyncio.gather(*(self._call([ask], dimensions) for ask in asks if not ask.answer.done()))
        except Exception as error:
            _fail(asks, error)


def _fail(asks: list[_Ask], error: Exception) -> None:
    for ask in asks:
        if not ask.answer.done():
            ask.answer.set_exception(error)


def _end_if_alone(task: asyncio.Task[None], asks: list[_Ask]) -> None:
    if all(ask.answer.done() for ask in asks) and not task.done():
        task.cancel()


def _share(vectors: Vectors, asks: list[_Ask]) -> None:
    """Each its vectors, and of the tokens as many as it has of the characters."""
    row = vectors.dimensions * _FLOAT
    sizes = [sum(len(text) for text in ask.texts) or 1 for ask in asks]
    place = 0
    for ask, size in zip(asks, sizes, strict=True):
        data = vectors.data[place * row : (place + len(ask.texts)) * row]
        tokens = -(-vectors.prompt_tokens * size // sum(sizes))
        place += len(ask.texts)
        if not ask.answer.done():
            ask.answer.set_result(Vectors(vectors.model, vectors.dimensions, data, tokens))


def _joined(parts: Sequence[Vectors]) -> Vectors:
    first = parts[0]
    data = b"".join(part.data for part in parts)
    return Vectors(first.model, first.dimensions, data, sum(part.prompt_tokens for part in parts))
