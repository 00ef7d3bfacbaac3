"""What `parley up` says while it works: plain lines, and on a terminal one live line of what is still awaited."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Protocol, TextIO

import msgspec

_CLEAR = "\r\033[K"
_WIDTH = 80


class Report(Protocol):
    """Whom the supervisor tells how it goes."""

    def say(self, line: str) -> None: ...
    def waiting(self, line: str) -> None: ...
    def ready(self, url: str) -> None: ...


class Console:
    """On stderr; the address goes to stdout, so that a script can read it."""

    def __init__(self, how_to_stop: str, stream: TextIO | None = None) -> None:
        self._how_to_stop = how_to_stop
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown = ""

    def say(self, line: str) -> None:
        self._write(f"{line}\n")

    def waiting(self, line: str) -> None:
        if self._live and line != self._shown:
            width = os.get_terminal_size(self._stream.fileno()).columns or _WIDTH
            self._write(line[: width - 1])
            self._shown = line

    def ready(self, url: str) -> None:
        self._write("")
        if url:
            print(url, flush=True)
        if self._live:
            self._write(f"{self._how_to_stop}\n")

    def _write(self, text: str) -> None:
        # A terminal that was closed takes no more words; the mesh still has to be stopped in its order.
        with contextlib.suppress(OSError):
            self._stream.write((_CLEAR if self._shown else "") + text)
            self._stream.flush()
        self._shown = ""


class Message(msgspec.Struct, omit_defaults=True):
    """What a supervisor in the background tells the command that started it. `ready` comes with the chat's address."""

    say: str = ""
    waiting: str = ""
    ready: bool = False
    url: str = ""
    failed: str = ""
    exit_code: int = 0


class Pipe:
    """Tells the command that waits at the other end of a pipe; when that has gone, nobody is told."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def say(self, line: str) -> None:
        if self._file.closed:
            # Nobody waits any more: into the supervisor's log.
            with contextlib.suppress(OSError):
                print(line, file=sys.stderr, flush=True)
        self._send(Message(say=line))

    def waiting(self, line: str) -> None:
        self._send(Message(waiting=line))

    def ready(self, url: str) -> None:
        self._send(Message(ready=True, url=url))
        self._file.close()

    def failed(self, sentence: str, exit_code: int) -> None:
        self._send(Message(failed=sentence, exit_code=exit_code))

    def _send(self, message: Message) -> None:
        if self._file.closed:
            return
        try:
            self._file.write(msgspec.json.encode(message) + b"\n")
        except BrokenPipeError:
            self._file.close()
