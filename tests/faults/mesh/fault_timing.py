"""How long customers waited because of a fault, from the history and the moments at which it struck. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import msgspec
from fault_row import Budget

from parley_testkit.history.pace import recovery
from parley_testkit.history.reading import Numbered
from parley_testkit.history.records import Answer, Invoke


class Waits(msgspec.Struct, frozen=True):
    """Seconds, one a strike: until the first message was accepted that was sent after it, until the first such one was
    answered, and until the last message was answered that was waiting when it struck.
    """

    accept: list[float]
    answer: list[float]
    recover: list[float]


def waits(history: Sequence[Numbered], strikes: Sequence[int]) -> Waits:
    """`strikes` are moments in milliseconds of the same clock."""
    found = [recovery(history, at) for at in strikes]
    return Waits(
        [one.first_accepted_s for one in found if one.first_accepted_s is not None],
        [one.first_answer_s for one in found if one.first_answer_s is not None],
        [longest for at in strikes if (longest := _last_waiting(history, at))],
    )


def kept(found: Waits, budget: Budget, strikes: int) -> bool:
    """Whether customers were served again within `budget` after every strike, of which there has to be one."""
    if not strikes or len(found.accept) < strikes or len(found.answer) < strikes:
        return False
    both = (found.accept, found.answer)
    return all(percentile(one, 0.5) <= budget.p50 and percentile(one, 0.99) <= budget.p99 for one in both)


def _last_waiting(history: Sequence[Numbered], at: int) -> float:
    """How long after `at` the last of those was answered that had been sent before it; 0 when nobody waited."""
    sent: dict[str, int] = {}
    told: dict[str, int] = {}
    for _, record in history:
        if isinstance(record, Invoke):
            sent.setdefault(record.message, record.at)
        elif isinstance(record, Answer):
            for name in record.messages:
                told.setdefault(name, record.at)
    waiting = [told[name] - at for name, when in sent.items() if name in told and when < at < told[name]]
    return max(waiting, default=0) / 1000


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of `values` do not exceed; 0 for none."""
    return sorted(values)[ceil(share * len(values)) - 1] if values else 0.0
