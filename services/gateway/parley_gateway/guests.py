"""Who is connected to this instance: sockets and runs, so that a drain can ask each to leave and see that it has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol


class Guest(Protocol):
    """A connection that leaves when asked; `patient` ones are first given time to finish."""

    patient: bool

    def go_away(self) -> None: ...


class Guests:
    def __init__(self) -> None:
        self._here: set[Guest] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._here)

    def __iter__(self) -> Iterator[Guest]:
        return iter(tuple(self._here))

    def add(self, guest: Guest) -> None:
        self._here.add(guest)
        self._empty.clear()

    def discard(self, guest: Guest) -> None:
        self._here.discard(guest)
        if not self._here:
            self._empty.set()

    async def empty_within(self, seconds: float) -> bool:
        """True as soon as nobody is here, False when `seconds` have passed."""
        try:
            await asyncio.wait_for(self._empty.wait(), max(seconds, 0))
        except TimeoutError:
            return False
        return True
