"""The pool: workers that take the next batch as soon as they are free, more of them when the queue is long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_proto.errors import PermanentError, TransientError
from parley_rag.embedding import metrics
from parley_rag.embedding.embedder import Embedder, Worker, WorkerLostError
from parley_rag.embedding.lanes import Batch, Lanes
from parley_rag.embedding.sizing import Sizing
from parley_rag.embedding.text import Key

_AGAIN_S, _AGAIN_MOST_S = 0.2, 5.0


class EmbeddingWorkers:
    """Takes batches from `lanes`, has the workers of `embedder` encode them, and settles their texts.

    A worker that is lost is replaced, and its batch goes to the front of its lane, once. `keep` is given the vectors of
    texts that go to disk.
    """

    def __init__(
        self, embedder: Embedder, lanes: Lanes, sizing: Sizing, keep: Callable[[dict[Key, bytes]], None]
    ) -> None:
        self._embedder = embedder
        self._lanes = lanes
        self._sizing = sizing
        self._keep = keep
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = 0
        # The worker that was busy last is called first, so that one that is not needed becomes idle for certain.
        self._idle: list[asyncio.Future[None]] = []
        self._long_since: float | None = None
        self._look_again: asyncio.TimerHandle | None = None
        self.unavailable: TransientError | None = None

    @property
    def ready(self) -> int:
        """How many workers can encode just now."""
        return self._ready

    def start(self) -> None:
        """Begin to start the least number of workers."""
        while len(self._tasks) < self._sizing.least:
            self._add()

    def wake(self) -> None:
        """Something new waits: call an idle worker, if there is one."""
        if self._lanes and self._idle:
            self._idle.pop().set_result(None)
        self.changed()

    def changed(self) -> None:
        """What waits has become more or less: see whether it has been too much for too long."""
        waiting = len(self._lanes)
        metrics.WAITING.labels(self._embedder.name).set(waiting)
        if waiting <= self._sizing.backlog:
            self._long_since = None
        elif self._long_since is None:
            self._long_since = asyncio.get_running_loop().time()
            self._look_after_a_moment()

    async def close(self) -> None:
        """End the workers, whatever they do."""
        if self._look_again:
            self._look_again.cancel()
        await end(*self._tasks)

    def _look_after_a_moment(self) -> None:
        if self._look_again:
            self._look_again.cancel()
        self._look_again = asyncio.get_running_loop().call_later(self._sizing.moment_s, self._look)

    def _look(self) -> None:
        if self._long_since is None:
            return
        for_s = asyncio.get_running_loop().time() - self._long_since
        if self._sizing.grows(len(self._tasks), len(self._tasks) - self._ready, len(self._lanes), for_s):
            self._add()
        self._look_after_a_moment()

    def _add(self) -> None:
        task = asyncio.create_task(self._place(), name="embedding worker")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _place(self) -> None:
        """One place in the pool: a worker, and after it is lost another one, until the place is not needed."""
        lost = True
        while lost:
            worker = await self._hire()
            try:
                lost = await self._serve(worker)
            finally:
                self._count(-1)
                # Whoever was called to work and has not taken any must not leave it lying.
                self.wake()
                await worker.close()
            if lost:
                metrics.LOST.labels(self._embedder.name).inc()
                log("parley.rag").warning("an embedding worker was lost and is replaced")

    async def _hire(self) -> Worker:
        hiring = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential_jitter(multiplier=_AGAIN_S, max=_AGAIN_MOST_S, jitter=_AGAIN_S),
            before_sleep=self._nobody,
        )
        worker: Worker = await hiring(self._embedder.worker)
        self.unavailable = None
        self._count(+1)
        return worker

    def _nobody(self, tried: RetryCallState) -> None:
        """A worker can't be had: without any other, nobody should wait for it."""
        error = tried.outcome.exception() if tried.outcome else None
        log("parley.rag").warning("an embedding worker can't be had just now", extra={"reason": str(error)})
        if not self._ready and isinstance(error, TransientError):
            self.unavailable = error
            for text in self._lanes.clear():
                text.settle(error)
            self.changed()

    def _count(self, more: int) -> None:
        self._ready += more
        metrics.WORKERS.labels(self._embedder.name).set(self._ready)

    async def _serve(self, worker: Worker) -> bool:
        """Encode batch after batch; True when the worker is lost, False when it was idle for long enough."""
        while await self._called(worker):
            batch = self._lanes.take(self._ready)
            self.wake()
            try:
                await self._encode(worker, batch)
            except WorkerLostError as error:
                self._give_back(batch, error)
                return True
        return worker.gone.done()

    async def _called(self, worker: Worker) -> bool:
        """Wait for something to encode; False once the worker is gone or not needed."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not self._lanes and not worker.gone.done():
            call: asyncio.Future[None] = loop.create_future()
            self._idle.append(call)
            try:
                await asyncio.wait(
                    (call, worker.gone), timeout=self._sizing.idle_s, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                if call in self._idle:
                    self._idle.remove(call)
            if not self._lanes and self._sizing.shrinks(self._ready, loop.time() - began):
                return False
        return not worker.gone.done()

    async def _encode(self, worker: Worker, batch: Batch) -> None:
        """Encode a batch and settle its texts; a text that can't be encoded at all takes no other with it."""
        try:
            with metrics.ENCODE_SECONDS.labels(self._embedder.name).time():
                vectors = await worker.encode([text.text for text in batch.texts], batch.urgent)
        except WorkerLostError:
            raise
        except PermanentError as error:
            if len(batch.texts) == 1:
                self._fail(batch, error)
                return
            half = len(batch.texts) // 2
            await self._encode(worker, Batch(batch.texts[:half], batch.urgent))
            await self._encode(worker, Batch(batch.texts[half:], batch.urgent))
        except Exception as error:
            self._fail(batch, error)
        else:
            self._settle(batch, vectors)

    def _settle(self, batch: Batch, vectors: list[bytes]) -> None:
        metrics.BATCH.observe(len(vectors))
        self._lanes.finish(batch)
        for text, vector in zip(batch.texts, vectors, strict=True):
            text.settle(vector)
        self._keep({text.key: vector for text, vector in zip(batch.texts, vectors, strict=True) if text.kept})

    def _fail(self, batch: Batch, error: Exception) -> None:
        self._lanes.finish(batch)
        for text in batch.texts:
            text.settle(error)

    def _give_back(self, batch: Batch, error: WorkerLostError) -> None:
        """Another worker gets what nobody has died of before and somebody still waits for."""
        waiting = [text for text in batch.texts if not text.vector.done()]
        again = [text for text in waiting if text.callers and not text.lost]
        self._fail(Batch([text for text in waiting if text not in again], batch.urgent), error)
        for text in again:
            text.lost += 1
        self._lanes.give_back(Batch(again, batch.urgent))
