"""Server-sent events from bytes, whatever way the network cuts them. Pure.

Source: WHATWG HTML, 9.2.6 "Interpreting an event stream".
"""

from __future__ import annotations

import msgspec

_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True):
    """One event; `name` is empty where the stream gives none."""

    data: str
    name: str = ""


class TooLong(ValueError):
    """An event is larger than the decoder may hold."""


class Decoder:
    """Feed it chunks, get the events that are complete. Holds at most `limit` bytes of an unfinished event."""

    def __init__(self, limit: int = 1 << 20) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._rest_size = 0
        self._after_cr = False
        self._at_start = True
        self._name = ""
        self._data: list[str] = []
        self._data_size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes. Raises TooLong."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        self._parts.append(chunk)
        self._rest_size += len(chunk)
        whole = b"\n" in chunk or b"\r" in chunk
        events = [event for line in self._lines() if (event := self._take(line))] if whole else []
        if self._rest_size + self._data_size > self._limit:
            raise TooLong(f"an event of the stream has more than {self._limit} bytes")
        return events

    def end(self) -> list[Event]:
        """The last event where the stream ends without the empty line that should follow it.

        Beyond the standard, which drops it: some servers close right after the last line.
        """
        event = self._take(b"")
        return [event] if event else []

    def _lines(self) -> list[bytes]:
        text = b"".join(self._parts)
        if self._at_start:
            text = text.removeprefix(_BOM)
            self._at_start = False
        self._after_cr = text.endswith(b"\r")
        lines = text.splitlines()
        rest = b"" if text.endswith((b"\n", b"\r")) else lines.pop()
        self._parts, self._rest_size = [rest], len(rest)
        return lines

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, raw = line.partition(b":")
        if field == b"data":
            self._data.append(_value(raw))
            self._data_size += len(raw) + 1
        elif field == b"event":
            self._name = _value(raw)
        return None

    def _dispatch(self) -> Event | None:
        event = Event("\n".join(self._data), self._name) if self._data else None
        self._data, self._data_size, self._name = [], 0, ""
        return event


def _value(raw: bytes) -> str:
    return raw.removeprefix(b" ").decode("utf-8", "replace")
