"""Reads files in a process of its own, so that a hostile one costs only itself."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from parley_mesh.child import Child
from parley_proto.errors import TransientError
from parley_rag.reading.files import LARGEST, check_size, refused, shown_name
from parley_rag.reading.outcome import Defaults, Reading, Slice, Unreadable
from parley_rag.reading.wire import LENGTH, Ask

_START_S = 30.0
_ATTEMPTS = 2
_LONGEST_REPLY = 1 << 30


class Reader:
    """One process, started when it is first needed, and again when a file has ended it; files wait for each other.

    A file gets `timeout_s` seconds and the process `memory_mb` of address space.
    """

    largest = LARGEST

    def __init__(self, *, timeout_s: float = 30.0, memory_mb: int = 1_024) -> None:
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._process: Child | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    async def read(self, name: str, content: Path | bytes, defaults: Defaults | None = None) -> Reading:
        """All documents of a file, and what was skipped and why. TransientError where no process can be started."""
        if isinstance(content, Path):
            found = await self._ask(Ask(shown_name(name), defaults or Defaults(), path=os.fsencode(content)))
            return Reading(found.documents, found.skipped)
        try:
            check_size(len(content))
        except Unreadable as error:
            return refused(shown_name(name), error.message)
        found = await self._ask(Ask(shown_name(name), defaults or Defaults(), content=content))
        return Reading(found.documents, found.skipped)

    async def read_slice(
        self, path: Path, name: str, defaults: Defaults | None = None, *, start: int = 0, count: int = 500
    ) -> Slice:
        """`count` documents of a file from the one with the number `start`, which is 0 or the `next` of another slice.

        The numbers are the same whenever the file is: an ingestion that was interrupted goes on with them. What was
        skipped comes with the first slice.
        """
        ask = Ask(shown_name(name), defaults or Defaults(), os.fsencode(path), start=start, count=count)
        return await self._ask(ask)

    async def close(self) -> None:
        """End the process; whoever still waits for a file gets a TransientError."""
        self._closed = True
        await self._end()

    async def _ask(self, ask: Ask) -> Slice:
        data, ended = msgspec.msgpack.encode(ask), ""
        async with self._turn:
            # Once more after an end: it may have come from outside, and not by this file.
            for _ in range(_ATTEMPTS):
                process = self._process or await self._start()
                try:
                    async with asyncio.timeout(self._timeout_s):
                        return await _exchange(process, data)
                except TimeoutError:
                    await self._end()
                    return _refused(ask, f"reading it took longer than {self._timeout_s:g} s")
                except (EOFError, ConnectionError, msgspec.DecodeError):
                    ended = await self._end()
                except BaseException:
                    # The answer would be taken for that to the next question.
                    await self._end()
                    raise
        return _refused(ask, f"reading it ended the process that reads ({ended})")

    async def _start(self) -> Child:
        if self._closed:
            raise TransientError("The service ends: the file is read after its restart.", code="draining")
        # A session of its own: Ctrl-C in a terminal is for the service, which ends this process after its drain.
        command = (sys.executable, "-P", "-m", "parley_rag.reading.child", str(self._timeout_s), str(self._memory_mb))
        process = await Child.start(command, new_session=True, quiet=True)
        self._process = process
        try:
            async with asyncio.timeout(_START_S):
                await _received(process)
        except (TimeoutError, EOFError, ConnectionError) as error:
            await self._end()
            raise TransientError("The process that reads files does not start.", code="reader_unavailable") from error
        except BaseException:
            await self._end()
            raise
        return process

    async def _end(self) -> str:
        """Kill the process and wait for its end; how it ended."""
        process, self._process = self._process, None
        if process is None:
            return "it was closed"
        process.kill()
        return f"exit status {await process.wait()}"


async def _exchange(process: Child, data: bytes) -> Slice:
    process.stdin.write(LENGTH.pack(len(data)) + data)
    await process.stdin.drain()
    return msgspec.msgpack.decode(await _received(process), type=Slice)


async def _received(process: Child) -> bytes:
    [length] = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    if length > _LONGEST_REPLY:
        raise EOFError
    return await process.stdout.readexactly(length)


def _refused(ask: Ask, reason: str) -> Slice:
    reading = refused(ask.name, reason)
    return Slice(reading.documents, reading.skipped)
