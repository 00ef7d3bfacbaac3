"""What a translator says, and what it keeps in mind while it does."""

from __future__ import annotations

import msgspec

from parley_gateway.events import Event

REMEMBERED = 1000


class Said(msgspec.Struct, frozen=True):
    """One event; `seq` is not 0 where it completes an entry of the resume log."""

    ev: Event
    seq: int = 0


class Draft(msgspec.Struct):
    """A message on its way. `text` is what the reader has; `broken` after a gap: the rest comes when committed."""

    message_id: str
    text: str = ""
    broken: bool = False


class Recent:
    """The last `REMEMBERED` ids, so that a long conversation does not grow for ever."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def __contains__(self, value: str) -> bool:
        return value in self._ids

    def add(self, value: str) -> None:
        self._ids[value] = None
        if len(self._ids) > REMEMBERED:
            self._ids.pop(next(iter(self._ids)))
