"""The lines of the standard input, while other things happen."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator

_STDIN = 0
_BLOCK = 65_536


async def typed_lines(prompt: str) -> AsyncIterator[str]:
    """Each line as it is typed, until the input ends; the prompt is for a person only.

    Read in a thread that nobody waits for, so that Ctrl-C ends the command and not just the next line.
    """
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_read_into, args=(queue, loop), daemon=True).start()
    waiting = b""
    ended = False
    while not ended:
        if sys.stdin.isatty():
            print(prompt, end="", file=sys.stderr, flush=True)
        while b"\n" not in waiting and not ended:
            block = await queue.get()
            waiting, ended = waiting + block, not block
        line, _, waiting = waiting.partition(b"\n")
        if line or not ended:
            yield line.decode("utf-8", "replace").rstrip("\r")


def _read_into(queue: asyncio.Queue[bytes], loop: asyncio.AbstractEventLoop) -> None:
    # Not through sys.stdin: its lock would be held by this thread when the interpreter ends.
    while True:
        try:
            block = os.read(_STDIN, _BLOCK)
        except OSError:
            block = b""
        try:
            loop.call_soon_threadsafe(queue.put_nowait, block)
        except RuntimeError:
            return  # The command has ended meanwhile.
        if not block:
            return
