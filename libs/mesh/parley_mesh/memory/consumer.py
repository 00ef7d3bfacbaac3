"""A durable in memory: who has what, for how long, and what is delivered again (explicit acks, `max_deliver` -1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from parley_mesh.bus import Stored
from parley_mesh.memory.log import MemoryLog
from parley_mesh.memory.wildcards import matches


class Taken(msgspec.Struct, frozen=True):
    """A message on its way out: `attempt` counts its deliveries, `number` those of the consumer, both from 1."""

    stored: Stored
    attempt: int
    number: int
    pending: int


class _Out(msgspec.Struct):
    """Delivered and not settled; to be delivered again at `due`, milliseconds."""

    attempt: int
    due: int


class MemoryConsumer:
    """`filters` empty means everything; `ack_wait_ms` and what follows from it go by `clock`."""

    def __init__(
        self,
        log: MemoryLog,
        clock: Callable[[], int],
        *,
        filters: Sequence[str] = (),
        ack_wait_ms: int = 30_000,
        max_ack_pending: int = 1000,
    ) -> None:
        self._log = log
        self._clock = clock
        self._filters = filters
        self._ack_wait_ms = ack_wait_ms
        self._most_out = max_ack_pending
        self._out: dict[int, _Out] = {}
        self._position = 0
        self.delivered = 0

    @property
    def ack_floor(self) -> int:
        """Everything up to this sequence of the stream is settled."""
        return min(self._out, default=self._position + 1) - 1

    @property
    def ack_pending(self) -> int:
        return len(self._out)

    @property
    def pending(self) -> int:
        """How many messages nobody was given yet."""
        return sum(1 for stored in self._log.after(self._position) if self._wants(stored))

    def ready(self) -> bool:
        """Whether there is a message to hand out now."""
        return self._next() is not None

    def take(self) -> Taken | None:
        """The next message to hand out, those to be delivered again first; None when there is none for now."""
        found = self._next()
        if found is None:
            return None
        self._position = max(self._position, found.seq)
        out = self._out.setdefault(found.seq, _Out(0, 0))
        out.attempt += 1
        out.due = self._clock() + self._ack_wait_ms
        self.delivered += 1
        return Taken(found, out.attempt, self.delivered, self.pending)

    def settle(self, seq: int) -> None:
        """`ack` or `term`, of whichever delivery."""
        self._out.pop(seq, None)

    def give_back(self, seq: int, delay_ms: int = 0) -> None:
        """`nak`: again after `delay_ms`."""
        if seq in self._out:
            self._out[seq].due = self._clock() + delay_ms

    def extend(self, seq: int) -> None:
        """In progress: another `ack_wait` from now."""
        self.give_back(seq, self._ack_wait_ms)

    def due(self) -> int | None:
        """When the next message is to be delivered again, milliseconds."""
        return min((out.due for out in self._out.values()), default=None)

    def _next(self) -> Stored | None:
        return self._again() or self._new()

    def _again(self) -> Stored | None:
        now = self._clock()
        for seq in sorted((seq for seq, out in self._out.items() if out.due <= now), key=lambda s: self._out[s].due):
            stored = self._log.at(seq)
            if stored:
                return stored
            # A rollup has removed it meanwhile.
            del self._out[seq]
        return None

    def _new(self) -> Stored | None:
        if len(self._out) >= self._most_out:
            return None
        for stored in self._log.after(self._position):
            if self._wants(stored):
                return stored
            self._position = stored.seq
        return None

    def _wants(self, stored: Stored) -> bool:
        return not self._filters or any(matches(pattern, stored.subject) for pattern in self._filters)
