"""A process of our own that is asked over its stdin and answers over its stdout.

Not `asyncio.create_subprocess_exec`: under uvloop that forks and runs the handlers of every library that wants to hear
of a fork, LanceDB's runtime among them, where a deadlock is possible. `subprocess` starts the program without them.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path


class Child:
    """`stdin` and `stdout` are one socket: the end of either side is the end of the conversation."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: asyncio.StreamReader, stdin: asyncio.StreamWriter):
        self.stdout = stdout
        self.stdin = stdin
        self._process = process
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        # A thread of its own: those of the loop's pool are few, and others wait for them.
        threading.Thread(target=self._watch, name=f"wait for {process.pid}", daemon=True).start()

    @classmethod
    async def start(
        cls, command: Sequence[str | Path], *, limit: int = 1 << 16, new_session: bool = False, quiet: bool = False
    ) -> Child:
        """Start `command`; OSError where that is not possible. `limit` is what `stdout` buffers, `quiet` hides stderr.

        The call itself takes some milliseconds, which the loop waits for.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = _started(command, theirs, new_session=new_session, quiet=quiet)
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=limit)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    def kill(self) -> None:
        """Nothing for a process that has ended."""
        self._process.kill()

    async def wait(self) -> int:
        """The exit status, when there is one."""
        status = await asyncio.shield(self._ended)
        self.stdin.close()
        return status

    def _watch(self) -> None:
        status = self._process.wait()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end, status)

    def _end(self, status: int) -> None:
        if not self._ended.done():
            self._ended.set_result(status)


def _started(
    command: Sequence[str | Path], theirs: socket.socket, *, new_session: bool, quiet: bool
) -> subprocess.Popen[bytes]:
    end = theirs.fileno()
    errors = subprocess.DEVNULL if quiet else None
    return subprocess.Popen(command, stdin=end, stdout=end, stderr=errors, start_new_session=new_session)
