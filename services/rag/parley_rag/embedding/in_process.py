"""A blocking model in a thread of this process: for tests, and wherever a second process is not worth it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from parley_rag.adapters import Model


class InProcess:
    """The twin of `LocalModel`: the same promises, one worker, nothing to lose."""

    least = most = 1

    def __init__(self, model: Model, *, portion: int = 4) -> None:
        self._model = model
        self.portion = portion

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def dimensions(self) -> int:
        return self._model.dimensions

    async def start(self) -> None:
        """Nothing to make ready."""

    async def worker(self) -> ThreadWorker:
        return ThreadWorker(self._model)

    async def close(self) -> None:
        """The model belongs to whoever brought it."""


class ThreadWorker:
    """One thread that calls the model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedding")
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def encode(self, texts: Sequence[str], urgent: bool) -> list[bytes]:
        rows = await asyncio.get_running_loop().run_in_executor(self._thread, self._model.encode, texts)
        return [row.astype("<f4").tobytes() for row in rows]

    async def close(self) -> None:
        self._thread.shutdown(wait=False)
