"""A stream in memory: what JetStream promises about writing and reading one (nats.md, 'One transaction')."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from parley_mesh.bus import Appended, Stored, Write
from parley_mesh.memory.wildcards import matches
from parley_proto.envelope import MSG_ID, now_ms

DUPLICATE_WINDOW_S = 120.0
ROLLUP = "Nats-Rollup"
SCHEDULE = "Nats-Schedule"
TARGET = "Nats-Schedule-Target"
STALE, ALREADY_THERE, BAD_ROLLUP, BAD_SCHEDULE = 10071, 10201, 10111, 10189


class RefusedError(Exception):
    """The server says no, with JetStream's own error code."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


class MemoryLog:
    """One stream. `clock` gives milliseconds; time moves only by it: what is due happens at the next look."""

    def __init__(
        self,
        clock: Callable[[], int] = now_ms,
        *,
        duplicate_window_s: float = DUPLICATE_WINDOW_S,
        max_msgs_per_subject: int | None = None,
    ) -> None:
        self._clock = clock
        self._most = max_msgs_per_subject
        self._window_ms = int(duplicate_window_s * 1000)
        self._stored: dict[int, Stored] = {}
        self._subjects: defaultdict[str, list[int]] = defaultdict(list)
        self._ids: dict[str, tuple[int, int]] = {}
        self._schedules: dict[str, int] = {}
        self.last_seq = 0

    def write(self, batch: Sequence[Write]) -> Appended:
        """Store all of `batch` or nothing. RefusedError with JetStream's code.

        One message with an id that is known is told `duplicate`; in a batch such an id refuses the whole.
        """
        self.tick()
        self._check(batch)
        known = self._known_id(batch[0]) if len(batch) == 1 else None
        if known:
            return Appended(known, True)
        for write in batch:
            self._store(write)
        return Appended(self.last_seq, False)

    def last(self, pattern: str) -> Stored | None:
        """The newest message under `pattern`."""
        self.tick()
        exact = pattern in self._subjects
        subjects = [pattern] if exact else [name for name in self._subjects if matches(pattern, name)]
        newest = max((self._subjects[name][-1] for name in subjects), default=None)
        return self._stored[newest] if newest else None

    def next(self, pattern: str, after: int) -> Stored | None:
        """The first message under `pattern` with a sequence above `after`."""
        self.tick()
        return next((stored for stored in self.after(after) if matches(pattern, stored.subject)), None)

    def at(self, seq: int) -> Stored | None:
        self.tick()
        return self._stored.get(seq)

    def after(self, seq: int) -> Iterator[Stored]:
        """What is stored with a sequence above `seq`, oldest first."""
        for number in range(seq + 1, self.last_seq + 1):
            stored = self._stored.get(number)
            if stored:
                yield stored

    def due(self) -> int | None:
        """When the next scheduled message is to be sent, milliseconds."""
        return min(self._schedules.values(), default=None)

    def tick(self) -> None:
        """Send what was scheduled for now or earlier."""
        now = self._clock()
        for subject, when in sorted(self._schedules.items(), key=lambda item: item[1]):
            if when <= now:
                self._send(subject)

    def _check(self, batch: Sequence[Write]) -> None:
        written: set[str] = set()
        ids: set[str] = set()
        for write in batch:
            self._check_expectation(write, written)
            if write.subject in written and (ROLLUP in write.headers or SCHEDULE in write.headers):
                raise RefusedError(BAD_ROLLUP, "batch rollup sub invalid")
            if len(batch) > 1 and (self._known_id(write) or write.headers.get(MSG_ID) in ids):
                raise RefusedError(ALREADY_THERE, "batch publish contains duplicate message id")
            if SCHEDULE in write.headers:
                _when(write)
            written.add(write.subject)
            ids |= {write.headers[MSG_ID]} if MSG_ID in write.headers else set()

    def _check_expectation(self, write: Write, written: set[str]) -> None:
        if write.expect is None:
            return
        found = self._subjects.get(write.subject)
        # A subject that the batch itself has written before has moved on, whatever is expected of it (tried).
        if write.subject in written or write.expect != (found[-1] if found else 0):
            raise RefusedError(STALE, "wrong last sequence")

    def _known_id(self, write: Write) -> int | None:
        seq, at = self._ids.get(write.headers.get(MSG_ID, ""), (None, 0))
        return seq if seq and self._clock() - at < self._window_ms else None

    def _store(self, write: Write) -> None:
        headers = dict(write.headers)
        if SCHEDULE in headers:
            # The server adds it: one schedule a subject, the newest replaces the last (tried).
            headers[ROLLUP] = "sub"
            self._schedules[write.subject] = _when(write)
        if headers.get(ROLLUP) == "sub":
            self._purge(write.subject)
        self.last_seq += 1
        if MSG_ID in headers:
            self._ids[headers[MSG_ID]] = (self.last_seq, self._clock())
        self._subjects[write.subject].append(self.last_seq)
        self._stored[self.last_seq] = Stored(write.subject, self.last_seq, write.data, headers, self._clock())
        if self._most and len(self._subjects[write.subject]) > self._most:
            del self._stored[self._subjects[write.subject].pop(0)]

    def _purge(self, subject: str) -> None:
        for seq in self._subjects.pop(subject, []):
            del self._stored[seq]

    def _send(self, subject: str) -> None:
        scheduled = self._stored[self._subjects[subject][-1]]
        del self._schedules[subject]
        self._purge(subject)
        kept = {name: value for name, value in scheduled.headers.items() if name not in (SCHEDULE, TARGET, ROLLUP)}
        headers = kept | {"Nats-Scheduler": subject, "Nats-Schedule-Next": "purge"}
        self._store(Write(scheduled.headers[TARGET], scheduled.data, headers))


def _when(write: Write) -> int:
    """Milliseconds of `@at <RFC 3339>`, the one kind of schedule that Parley uses."""
    kind, _, stamp = write.headers[SCHEDULE].partition(" ")
    if kind != "@at" or not write.headers.get(TARGET):
        raise RefusedError(BAD_SCHEDULE, "message schedules pattern is invalid")
    try:
        return int(datetime.fromisoformat(stamp).timestamp() * 1000)
    except ValueError as error:
        raise RefusedError(BAD_SCHEDULE, "message schedules pattern is invalid") from error
