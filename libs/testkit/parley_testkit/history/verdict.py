"""The verdict on a history: what was counted, what is wrong, and both as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from parley_testkit.history.reading import Numbered
from parley_testkit.history.rules import KINDS, Violation, violations
from parley_testkit.history.story import Story, tell


class Verdict(msgspec.Struct, frozen=True):
    """`answered` includes the messages that were told an honest sentence instead, which `told` counts by kind.

    `recovered` were answered though nobody said that they were taken, `open` are those of which nobody knows: both are
    legal. `merged` are answers to several messages, `handoffs` the epochs after a conversation's first.
    """

    conversations: int
    messages: int
    accepted: int
    answered: int
    told: dict[str, int]
    recovered: int
    refused: int
    open: int
    merged: int
    handoffs: int
    effects: int
    violations: list[Violation]

    @property
    def clean(self) -> bool:
        return not self.violations


def judge(records: Iterable[Numbered]) -> Verdict:
    """Everything that a history says, and every promise that it breaks."""
    story = tell(records)
    messages = story.messages
    return Verdict(
        conversations=len(story.cases),
        messages=sum(bool(one.invoked) for one in messages),
        accepted=sum(bool(one.acked) for one in messages),
        answered=sum(bool(one.answers) for one in messages),
        told=_told(story),
        recovered=sum(one.recovered for one in messages),
        refused=sum(bool(one.failed) for one in messages),
        open=sum(one.open for one in messages),
        merged=sum(len(answer.messages) > 1 for case in story.cases.values() for _, answer in case.answers),
        handoffs=sum(_handoffs(story)),
        effects=sum(len(lines) for lines in story.effects.values()),
        violations=violations(story),
    )


def _told(story: Story) -> dict[str, int]:
    """Messages that were told only an honest sentence, by its kind."""
    last = [[one.told for _, one in message.answers] for message in story.messages if message.answers]
    return dict(sorted(Counter(kinds[0] for kinds in last if all(kinds)).items()))


def _handoffs(story: Story) -> list[int]:
    epochs = [{commit.epoch for _, commit in case.commits if commit.epoch} for case in story.cases.values()]
    return [max(0, len(found) - 1) for found in epochs]


def lines_of(verdict: Verdict) -> list[str]:
    """The verdict for a person: a table of figures and checks, then each violation."""
    figures = msgspec.structs.asdict(verdict)
    found = figures.pop("violations")
    counts = Counter(one.kind for one in found)
    told = ", ".join(f"{kind} {number}" for kind, number in verdict.told.items())
    figures["told"] = f"{sum(verdict.told.values())}{f' ({told})' if told else ''}"
    rows = [f"{name:<14} {value}" for name, value in figures.items()]
    rows += ["", *(f"{kind:<14} {counts[kind]}" for kind in KINDS)]
    return rows + ([""] if found else []) + [_line(one) for one in found]


def _line(one: Violation) -> str:
    where = f"conversation {one.conversation}, " if one.conversation else ""
    lines = f"line{'s' if len(one.lines) > 1 else ''} {', '.join(map(str, one.lines))}"
    return f"{one.kind}: {where}{one.message or 'no message'} ({lines}): {one.reason}"
