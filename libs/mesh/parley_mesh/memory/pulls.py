"""Who waits for messages of a durable, and which of them is pinned (ADR-42; all of it tried on nats-server 2.15)."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable

import msgspec

MISMATCH = (423, "Nats-Pin-Id mismatch")
WRONG_PIN = (423, "Nats-Wrong-Pin-Id")
TIMED_OUT = (408, "Request Timeout")
NO_MESSAGES = (404, "No Messages")
NO_GROUP = (400, "Bad Request - Priority Group missing")
Status = tuple[int, str]


class Pull(msgspec.Struct, eq=False):
    """A request for up to `left` messages, until `deadline` in milliseconds; `pin` is whom it says it comes from."""

    inbox: str
    left: int
    deadline: int
    pin: str = ""
    no_wait: bool = False


class Pulls:
    """The requests in turn; with a pin timeout only the pinned client is served, until it stops pulling.

    `tell(inbox, status)` hears of every request that ends without its messages.
    """

    def __init__(self, clock: Callable[[], int], tell: Callable[[str, Status], None], pin_timeout_ms: int = 0) -> None:
        self._clock = clock
        self._tell = tell
        self._pin_timeout_ms = pin_timeout_ms
        self._waiting: deque[Pull] = deque()
        self._until = 0
        self.pin = ""

    def add(self, pull: Pull, *, group: str) -> None:
        if self._pin_timeout_ms:
            if not group:
                self._tell(pull.inbox, NO_GROUP)
                return
            self._expire_pin()
            if pull.pin and self.pin and pull.pin != self.pin:
                self._tell(pull.inbox, MISMATCH)
                return
            if self.pin and pull.pin == self.pin:
                self._renew()
        self._waiting.append(pull)

    @property
    def open(self) -> bool:
        """Whether anybody waits who would be served."""
        return any(not self.pin or pull.pin == self.pin for pull in self._waiting)

    def turn(self) -> Pull | None:
        """Whose turn it is; `served` then counts the message."""
        self.tick()
        return self._pinned() if self._pin_timeout_ms else next(iter(self._waiting), None)

    def served(self, pull: Pull) -> None:
        self._waiting.remove(pull)
        pull.left -= 1
        if pull.left > 0:
            self._waiting.append(pull)

    def nothing(self) -> None:
        """There are no messages now: whoever would not wait is told."""
        self._end([pull for pull in self._waiting if pull.no_wait], NO_MESSAGES)

    def leave(self, inbox: str) -> None:
        """Nobody listens there any more."""
        self._waiting = deque(pull for pull in self._waiting if pull.inbox != inbox)

    def unpin(self) -> None:
        self.pin = ""

    def due(self) -> int | None:
        """When the next request runs out or the pin does, milliseconds."""
        times = [pull.deadline for pull in self._waiting]
        return min([*times, self._until] if self.pin else times, default=None)

    def tick(self) -> None:
        """End what has run out."""
        now = self._clock()
        self._end([pull for pull in self._waiting if pull.deadline <= now], TIMED_OUT)
        self._expire_pin()

    def _pinned(self) -> Pull | None:
        if self.pin:
            return next((pull for pull in self._waiting if pull.pin == self.pin), None)
        # Whoever names a pin has lost it; the next who names none gets a new one.
        self._end([pull for pull in self._waiting if pull.pin], WRONG_PIN)
        if not self._waiting:
            return None
        pull = self._waiting[0]
        self.pin = pull.pin = uuid.uuid4().hex
        self._renew()
        return pull

    def _renew(self) -> None:
        self._until = self._clock() + self._pin_timeout_ms

    def _expire_pin(self) -> None:
        if self.pin and self._until <= self._clock():
            self.pin = ""

    def _end(self, pulls: list[Pull], status: Status) -> None:
        for pull in pulls:
            self._waiting.remove(pull)
            self._tell(pull.inbox, status)
