"""How long a fault kept the customers waiting."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from parley_testkit.history.reading import Numbered
from parley_testkit.history.records import Answer, Invoke, Ok


class Recovery(msgspec.Struct, frozen=True):
    """Seconds from a moment to the next message that was accepted and to the next answer; None where none came."""

    first_accepted_s: float | None
    first_answer_s: float | None


def recovery(records: Iterable[Numbered], since_ms: int) -> Recovery:
    """The recovery from what happened at `since_ms`, wall-clock milliseconds.

    Only what was sent later counts as accepted, and only its answers: others were on their way already.
    """
    sent: set[tuple[str, str]] = set()
    accepted, answered = list[int](), list[int]()
    for _, record in records:
        if isinstance(record, Invoke) and record.attempt == 1 and record.at >= since_ms:
            sent.add((record.conversation, record.message))
        elif isinstance(record, Ok) and (record.conversation, record.message) in sent:
            accepted.append(record.at)
        elif isinstance(record, Answer) and sent & {(record.conversation, name) for name in record.messages}:
            answered.append(record.at)
    return Recovery(_seconds(accepted, since_ms), _seconds(answered, since_ms))


def _seconds(times: list[int], since_ms: int) -> float | None:
    return (min(times) - since_ms) / 1000 if times else None
