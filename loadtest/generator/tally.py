"""What one process of customers has counted, second by second; the parent adds it up. Pure."""

from __future__ import annotations

import msgspec

from generator.histogram import Counts, Histogram

COUNTED = (
    *("sent", "accepted", "answered", "duplicated", "refused", "errors"),
    *("failed", "unmarked", "calls", "given_up"),
)
TIMED = ("overhead", "overhead_first", "overhead_end", "first_token", "answer", "late", "ack")


class Tick(msgspec.Struct):
    """One second of the run. Durations in ms, as counts of a histogram's buckets.

    `overhead` is the greater of the two others for each message; `late` is the generator's own lateness.
    `failed` were answered with the sentence that they could not be, `unmarked` by another model than the provider.
    `kinds` are the answers by what they rest on: a grounded one had passages or a tool's result. `codes` are reasons.
    `given_up` were refused in whatever way; `waiting` is what was neither answered nor that at the second's end.
    """

    second: int
    sent: int = 0
    accepted: int = 0
    answered: int = 0
    duplicated: int = 0
    refused: int = 0
    errors: int = 0
    failed: int = 0
    unmarked: int = 0
    calls: int = 0
    given_up: int = 0
    waiting: int = 0
    times: dict[str, Counts] = {}
    codes: dict[str, int] = {}
    kinds: dict[str, int] = {}

    def count_code(self, code: str) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1

    def count_kind(self, kind: str) -> None:
        self.kinds[kind] = self.kinds.get(kind, 0) + 1

    def time(self, name: str, ms: float) -> None:
        Histogram.record_in(self.times.setdefault(name, {}), ms)


class Rest(msgspec.Struct):
    """What the end of a run finds: messages taken and never answered, and those that nobody has taken or refused."""

    lost: int = 0
    unsettled: int = 0
    conversations: int = 0
    cpu_s: float = 0.0
    lost_ids: list[str] = []


class Tally:
    """The seconds of one process. Times are monotonic seconds; `began` is the run's own beginning."""

    def __init__(self) -> None:
        self.began = float("inf")
        self._ticks: dict[int, Tick] = {}

    def at(self, now: float) -> Tick:
        second = max(-1, int(now - self.began)) if now >= self.began else -1
        tick = self._ticks.get(second)
        if tick is None:
            tick = self._ticks[second] = Tick(second)
        return tick

    def take(self) -> list[Tick]:
        """The seconds since the last call; what comes later for one of them is told as a second part of it."""
        ticks, self._ticks = list(self._ticks.values()), {}
        return ticks


def joined(ticks: list[Tick]) -> list[Tick]:
    """One tick a second, in order, of what several processes have told in parts."""
    found: dict[int, Tick] = {}
    for tick in ticks:
        whole = found.setdefault(tick.second, Tick(tick.second))
        for name in COUNTED:
            setattr(whole, name, getattr(whole, name) + getattr(tick, name))
        for name, counts in tick.times.items():
            into = Histogram(whole.times.get(name))
            into.add(counts)
            whole.times[name] = into.counts
        whole.codes = added(whole.codes, tick.codes)
        whole.kinds = added(whole.kinds, tick.kinds)
    seconds, waiting = [found[second] for second in sorted(found)], 0
    for tick in seconds:
        waiting += tick.sent - tick.answered - tick.given_up
        tick.waiting = waiting
    return seconds


def added(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    return first | {name: first.get(name, 0) + count for name, count in second.items()}


def total(ticks: list[Tick], name: str) -> int:
    return sum(getattr(tick, name) for tick in ticks)


def timed(ticks: list[Tick], name: str) -> Histogram:
    found = Histogram()
    for tick in ticks:
        found.add(tick.times.get(name, {}))
    return found
