"""The process that reads files for `Reader`: asked over stdin, answering over stdout, each a length and MessagePack.

What comes back is data and never code, so that even a parser that a file has taken over can only lie about that file.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

# Before the limits, so that the first page or PDF does not pay for loading them.
import parley_rag.reading.html
import parley_rag.reading.pdf  # noqa: F401
from parley_rag.reading.files import TOO_MUCH_MEMORY, check_size, read, refused, shown_name
from parley_rag.reading.outcome import Reading, Slice, Unreadable
from parley_rag.reading.wire import LENGTH, Ask

_GRACE_S = 2.0


class Shelf:
    """Keeps the last file read, so that its slices cost no second reading."""

    def __init__(self) -> None:
        self._key: object = None
        self._reading = Reading([], [])

    def slice(self, ask: Ask) -> Slice:
        """What was skipped comes with the first slice."""
        key = _key_of(ask)
        if key is None or key != self._key:
            self._key, self._reading = key, _read(ask)
        found, after = self._reading, ask.start + ask.count
        more = after < len(found.documents)
        if not more:
            self._key, self._reading = None, Reading([], [])
        return Slice(
            found.documents[ask.start : after], found.skipped if ask.start == 0 else [], after if more else None
        )


def main() -> None:
    """Answer until stdin ends. Arguments: seconds for one answer, megabytes of memory."""
    timeout_s, memory_mb = float(sys.argv[1]), int(sys.argv[2])
    # Whatever a parser prints must not get between the answers.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit(memory_mb)
    _send(replies, b"")
    shelf = Shelf()
    while (data := _receive(sys.stdin.buffer)) is not None:
        # Ends this process where nobody is left to do so.
        signal.setitimer(signal.ITIMER_REAL, timeout_s + _GRACE_S)
        _send(replies, _answer(shelf, msgspec.msgpack.decode(data, type=Ask)))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(shelf: Shelf, ask: Ask) -> bytes:
    try:
        return msgspec.msgpack.encode(shelf.slice(ask))
    except MemoryError:
        reading = refused(ask.name, TOO_MUCH_MEMORY)
        return msgspec.msgpack.encode(Slice(reading.documents, reading.skipped))


def _key_of(ask: Ask) -> object:
    """What is the same as long as a file is; None where that can't be told."""
    try:
        found = os.stat(ask.path) if ask.path else None
    except OSError:
        return None
    return found and (ask.path, found.st_size, found.st_mtime_ns, ask.name, ask.defaults)


def _read(ask: Ask) -> Reading:
    if not ask.path:
        return read(ask.name, ask.content, ask.defaults)
    path = Path(os.fsdecode(ask.path))
    try:
        check_size(path.stat().st_size)
        content = path.read_bytes()
    except Unreadable as error:
        return refused(shown_name(ask.name), error.message)
    except OSError as error:
        return refused(shown_name(ask.name), f"it can't be read: {error.strerror}")
    return read(ask.name, content, ask.defaults)


def _limit(memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # Elsewhere than on Linux the kernel does not keep to this limit, and may refuse to take it.
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))


def _receive(stream: BinaryIO) -> bytes | None:
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else None


def _send(stream: BinaryIO, data: bytes) -> None:
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


if __name__ == "__main__":
    main()
