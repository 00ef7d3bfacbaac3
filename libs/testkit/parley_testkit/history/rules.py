"""What a history must keep to, one function a rule: reliability.md, 'The history checker'. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, get_args

import msgspec

from parley_testkit.history.records import Invoke, Ok
from parley_testkit.history.story import Case, Committed, Message, Story

Kind = Literal["lost", "duplicate", "phantom", "order", "owner", "effects", "unrecorded"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Violation(msgspec.Struct, frozen=True):
    """One broken promise: whose, and the lines of the history that show it."""

    kind: Kind
    conversation: str
    message: str
    lines: list[int]
    reason: str


def violations(story: Story) -> list[Violation]:
    """Everything that is wrong, by kind in the order of `KINDS`."""
    found = list(_effects(story))
    recorded = any(case.commits for case in story.cases.values())
    for case in story.cases.values():
        for message in case.messages.values():
            found += [*_lost(case, message), *_duplicate(case, message), *_phantom(case, message)]
        found += [*_committed_twice(case), *_answers_nothing(case)]
        found += [*_places(case), *_answers_in_order(case), *_real_time(case)]
        found += [*_epochs(case), *_one_owner(case)]
        if recorded:
            found += _unrecorded(case)
    return sorted(found, key=lambda one: (KINDS.index(one.kind), one.lines))


def _lost(case: Case, message: Message) -> Iterator[Violation]:
    if message.acked and not message.answers:
        yield Violation("lost", case.name, message.name, [message.acked], "was acknowledged and never answered")


def _duplicate(case: Case, message: Message) -> Iterator[Violation]:
    names = {answer.answer: line for line, answer in message.answers}
    if len(names) > 1:
        reason = f"has {len(names)} answers: {', '.join(names)}"
        yield Violation("duplicate", case.name, message.name, sorted(names.values()), reason)


def _committed_twice(case: Case) -> Iterator[Violation]:
    lines: dict[str, list[int]] = defaultdict(list)
    for line, commit in case.commits:
        if commit.message:
            lines[commit.message].append(line)
    for name, found in lines.items():
        if len(found) > 1:
            yield Violation("duplicate", case.name, name, found, f"was committed {len(found)} times")


def _phantom(case: Case, message: Message) -> Iterator[Violation]:
    if not message.answers:
        return
    line = message.answers[0][0]
    if not message.invoked:
        yield Violation("phantom", case.name, message.name, [line], "was answered and never sent")
    elif message.failed:
        lines = sorted([message.failed, line])
        yield Violation("phantom", case.name, message.name, lines, "was refused for good, and answered all the same")


def _answers_nothing(case: Case) -> Iterator[Violation]:
    for line, answer in case.answers:
        if not answer.messages:
            yield Violation("phantom", case.name, "", [line], f"answer {answer.answer} answers nothing that was sent")


def _by_place(case: Case) -> list[Message]:
    return sorted((one for one in case.messages.values() if one.seq), key=lambda one: one.seq)


def _places(case: Case) -> Iterator[Violation]:
    for before, after in pairwise(_by_place(case)):
        if before.seq == after.seq:
            lines = sorted([before.acked, after.acked])
            reason = f"stands at {after.seq} of the log, where {before.name} stands"
            yield Violation("order", case.name, after.name, lines, reason)


def _answers_in_order(case: Case) -> Iterator[Violation]:
    """First answers follow the messages' places; the same answer may be to several."""
    latest = None
    for message in _by_place(case):
        first = message.first
        if first is None:
            continue
        if latest and first[1].seq < latest[1].seq:
            lines = sorted([first[0], latest[0]])
            reason = f"was answered at {first[1].seq}, before what had been said earlier, at {latest[1].seq}"
            yield Violation("order", case.name, message.name, lines, reason)
        else:
            latest = first


def _real_time(case: Case) -> Iterator[Violation]:
    """What was acknowledged before another message was sent stands before it in the log."""
    highest = (0, 0)
    before: dict[str, tuple[int, int]] = {}
    judged: set[str] = set()
    for line, record in case.sends:
        if isinstance(record, Invoke):
            before.setdefault(record.message, highest)
        elif isinstance(record, Ok) and record.message not in judged:
            # A repeat beyond the log's window may stand in it twice; only its first place counts.
            judged.add(record.message)
            seq, earlier = before.get(record.message, (0, 0))
            if record.seq < seq:
                reason = f"stands at {record.seq}, before what was acknowledged at {seq} ere it was sent"
                yield Violation("order", case.name, record.message, sorted([earlier, line]), reason)
            highest = max(highest, (record.seq, line))


def _in_revision_order(case: Case) -> list[Committed]:
    return sorted(case.commits, key=lambda found: found[1].revision)


def _epochs(case: Case) -> Iterator[Violation]:
    highest: Committed | None = None
    for line, commit in _in_revision_order(case):
        if highest and commit.epoch < highest[1].epoch:
            lines = sorted([highest[0], line])
            reason = f"was committed by {commit.owner or 'nobody'} in epoch {commit.epoch}, after {highest[1].epoch}"
            yield Violation("owner", case.name, commit.message, lines, reason)
        else:
            highest = (line, commit)


def _one_owner(case: Case) -> Iterator[Violation]:
    owners: dict[int, Committed] = {}
    for line, commit in _in_revision_order(case):
        if not commit.owner:
            # Parley's own sentences belong to whoever is the owner.
            continue
        first = owners.setdefault(commit.epoch, (line, commit))
        if first[1].owner != commit.owner:
            reason = f"was committed by {commit.owner} in epoch {commit.epoch}, which is {first[1].owner}'s"
            yield Violation("owner", case.name, commit.message, sorted([first[0], line]), reason)


def _effects(story: Story) -> Iterator[Violation]:
    for key, lines in story.effects.items():
        if len(lines) > 1:
            yield Violation("effects", "", key, lines, f"happened {len(lines)} times at the third party")


def _unrecorded(case: Case) -> Iterator[Violation]:
    """Only committed words are shown (design.md, 'One log'); a cancel commits no words."""
    known = {commit.message for _, commit in case.commits}
    for line, answer in case.answers:
        if answer.answer not in known and answer.told != "cancelled":
            name = answer.messages[0] if answer.messages else ""
            yield Violation("unrecorded", case.name, name, [line], f"answer {answer.answer} is not in the log")
