"""A history sorted by what the rules look at: conversations with their messages, and effects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from parley_testkit.history.reading import Numbered
from parley_testkit.history.records import Answer, Commit, Effect, Fail, Info, Invoke, Ok

Answered = tuple[int, Answer]
Committed = tuple[int, Commit]


class Message(msgspec.Struct):
    """What is known of one message. Line numbers are 0 and `seq` is 0 for what never came."""

    name: str
    invoked: int = 0
    acked: int = 0
    seq: int = 0
    failed: int = 0
    doubted: int = 0
    answers: list[Answered] = []

    @property
    def first(self) -> Answered | None:
        """The first real answer by the log's order; None where there is none, or only an honest sentence."""
        return min(
            ((line, one) for line, one in self.answers if one.seq and not one.told),
            key=lambda found: found[1].seq,
            default=None,
        )

    @property
    def recovered(self) -> bool:
        """Nobody said that it was taken, and yet it was answered."""
        return bool(self.invoked and self.answers and not self.acked and not self.failed)

    @property
    def open(self) -> bool:
        """Nobody knows what became of it, which is legal."""
        return bool(self.invoked and not self.answers and not self.acked and not self.failed)


class Case(msgspec.Struct):
    """One conversation: `sends` are its invokes and oks in the order in which they happened."""

    name: str
    messages: dict[str, Message] = {}
    sends: list[tuple[int, Invoke | Ok]] = []
    answers: list[Answered] = []
    commits: list[Committed] = []

    def message(self, name: str) -> Message:
        found = self.messages.get(name)
        if found is None:
            found = self.messages[name] = Message(name)
        return found


class Story(msgspec.Struct):
    """The whole history. `effects` are the lines of each business key."""

    cases: dict[str, Case]
    effects: dict[str, list[int]]

    @property
    def messages(self) -> list[Message]:
        return [message for case in self.cases.values() for message in case.messages.values()]


def tell(records: Iterable[Numbered]) -> Story:
    """Sort the records; an answer that was recorded again (seen live, then read again) counts once."""
    story = Story({}, defaultdict(list))
    seen: set[tuple[str, str, tuple[str, ...]]] = set()
    for line, record in records:
        if isinstance(record, Effect):
            story.effects[record.key].append(line)
            continue
        case = story.cases.get(record.conversation)
        if case is None:
            case = story.cases[record.conversation] = Case(record.conversation)
        if isinstance(record, Answer):
            _answer(case, line, record, seen)
        elif isinstance(record, Commit):
            case.commits.append((line, record))
        else:
            _said(case, line, record)
    return story


def _said(case: Case, line: int, record: Invoke | Ok | Fail | Info) -> None:
    message = case.message(record.message)
    match record:
        case Invoke():
            message.invoked = message.invoked or line
            case.sends.append((line, record))
        case Ok():
            message.acked = message.acked or line
            message.seq = message.seq or record.seq
            case.sends.append((line, record))
        case Fail():
            message.failed = line
        case Info():
            message.doubted = line


def _answer(case: Case, line: int, record: Answer, seen: set[tuple[str, str, tuple[str, ...]]]) -> None:
    key = (case.name, record.answer, tuple(record.messages))
    if key in seen:
        return
    seen.add(key)
    case.answers.append((line, record))
    for name in record.messages:
        case.message(name).answers.append((line, record))
