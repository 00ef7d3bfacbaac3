"""MiniLM in processes of its own, so that the event loop and other threads of the service never wait for it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from parley_embedding.files import HIDDEN, LONGEST_TEXT, Files, prepare
from parley_embedding.frames import HEADER, Failed, answer, framed, length
from parley_mesh.child import Child
from parley_proto.errors import TransientError
from parley_rag.embedding.embedder import WorkerLostError

_VECTOR = 4 * HIDDEN
_START_S = 60.0
# 64 of the longest texts take 2 s on an idle processor.
_BATCH_S = 60.0
_BUFFER = 1 << 20


class LocalModel:
    """all-MiniLM-L6-v2 from `folder`, `threads` a process; fp32 and int8 are two models, by name too."""

    dimensions = HIDDEN
    # 64 ms for windows of 60 words; 4 together cost as little a text as 16, one alone a tenth more.
    portion = 4

    def __init__(self, folder: Path, *, precision: str, threads: int, least: int, most: int) -> None:
        self.least = least
        self.most = most
        self._folder = folder
        self._precision = precision
        self._threads = threads
        self._files: Files | None = None

    @property
    def name(self) -> str:
        """Known once it was started."""
        return self._prepared.name

    async def start(self) -> None:
        self._files = await asyncio.to_thread(prepare, self._folder, self._precision)

    async def worker(self) -> ProcessWorker:
        """A new process with the model loaded, after about 0.5 s."""
        files = self._prepared
        program = ("-m", "parley_embedding.worker", files.name, files.tokenizer, files.graph, str(self._threads))
        try:
            process = await Child.start((sys.executable, *program), limit=_BUFFER)
        except OSError as error:
            raise TransientError(
                f"An embedding process can't be started: {error}.", code="embedding_unavailable"
            ) from error
        worker = ProcessWorker(process)
        try:
            await worker.loaded()
        except BaseException:
            await worker.close()
            raise
        return worker

    async def close(self) -> None:
        """The processes belong to whoever asked for them."""

    @property
    def _prepared(self) -> Files:
        if self._files is None:
            raise RuntimeError("LocalModel.start() comes first")
        return self._files


class ProcessWorker:
    """A process of `parley_embedding.worker`."""

    def __init__(self, process: Child) -> None:
        self._process = process
        self.gone: asyncio.Future[None] = asyncio.ensure_future(self._end())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def loaded(self) -> None:
        """Wait for the word that the model is there."""
        try:
            await self._answer(_START_S)
        except TransientError as error:
            raise TransientError(
                f"An embedding process did not start: {error.message}", code="embedding_unavailable"
            ) from error

    async def encode(self, texts: Sequence[str], urgent: bool) -> list[bytes]:
        self._process.stdin.write(framed([text[:LONGEST_TEXT] for text in texts]))
        vectors = await self._answer(_BATCH_S)
        return [vectors[at : at + _VECTOR] for at in range(0, len(vectors), _VECTOR)]

    async def close(self) -> None:
        """At once: there is nothing in it to save."""
        if not self.gone.done():
            self._process.kill()
        await self.gone

    async def _answer(self, seconds: float) -> bytes:
        try:
            async with asyncio.timeout(seconds):
                header = await self._process.stdout.readexactly(HEADER)
                said = answer(await self._process.stdout.readexactly(length(header)))
        except TimeoutError as error:
            raise WorkerLostError(f"The embedding process gave no answer for {seconds:g} s.") from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise WorkerLostError("The embedding process has ended in the middle of its work.") from error
        if isinstance(said, Failed):
            raise TransientError(said.message, code="embedding_failed")
        return said.vectors

    async def _end(self) -> None:
        await self._process.wait()
