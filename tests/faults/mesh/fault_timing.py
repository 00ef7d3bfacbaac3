"""How long customers waited because of a fault, from the history and the moments at which it struck. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import msgspec

from parley_testkit.history.records import Answer, Invoke, Ok, Record


class Waits(msgspec.Struct, frozen=True):
    """Seconds, one a strike: until the first message was accepted that was sent after it, until the first such one was
    answered, and until the last message was answered that was waiting when it struck.
    """

    accept: list[float]
    answer: list[float]
    recover: list[float]


class _Message(msgspec.Struct):
    sent: int
    taken: int = 0
    told: int = 0


def waits(history: Sequence[Record], strikes: Sequence[int]) -> Waits:
    """`strikes` are moments in milliseconds of the same clock."""
    messages = _messages(history)
    found = Waits([], [], [])
    for at in strikes:
        later = [one for one in messages if one.sent >= at]
        _first(found.accept, at, [one.taken for one in later if one.taken])
        _first(found.answer, at, [one.told for one in later if one.told])
        stuck = [one.told - at for one in messages if one.sent < at < one.told]
        if stuck:
            found.recover.append(max(stuck) / 1000)
    return found


def _first(into: list[float], at: int, moments: list[int]) -> None:
    if moments:
        into.append((min(moments) - at) / 1000)


def _messages(history: Sequence[Record]) -> list[_Message]:
    found: dict[str, _Message] = {}
    for record in history:
        match record:
            case Invoke():
                found.setdefault(record.message, _Message(record.at))
            case Ok():
                message = found.setdefault(record.message, _Message(record.at))
                message.taken = message.taken or record.at
            case Answer():
                for name in record.messages:
                    if name in found:
                        found[name].told = found[name].told or record.at
    return list(found.values())


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of `values` do not exceed; 0 for none."""
    return sorted(values)[ceil(share * len(values)) - 1] if values else 0.0
