"""Faults put into a clean history, each of one kind: a checker is only believed once it finds them all.

Each function changes `records` in place and names the conversation (for an effect, its key) that it has spoiled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from random import Random

from msgspec.structs import replace

from parley_testkit.history.records import Answer, Commit, Effect, Fail, Invoke, Ok, Record

Plant = Callable[[list[Record], Random], str]


def lost_answer(records: list[Record], random: Random) -> str:
    """An acknowledged message is left out of its answer, or its only answer is gone."""
    acked = {record.message for record in records if isinstance(record, Ok)}
    chosen = random.choice([one for one in answers(records) if acked & set(one.messages)])
    victim = random.choice(sorted(acked & set(chosen.messages)))
    for place, record in reversed(list(enumerate(records))):
        if isinstance(record, Answer) and victim in record.messages:
            rest = [name for name in record.messages if name != victim]
            records[place : place + 1] = [replace(record, messages=rest)] if rest else []
    return chosen.conversation


def second_answer(records: list[Record], random: Random) -> str:
    chosen = random.choice([one for one in answers(records) if not one.told])
    _show(records, replace(chosen, answer="another", seq=end(records)))
    return chosen.conversation


def second_commit_of_an_answer(records: list[Record], random: Random) -> str:
    """The same words again, later: a transition that was applied twice."""
    last = {commit.conversation: commit for commit in commits(records) if commit.message}
    chosen = random.choice([commit for commit in last.values() if commit.epoch == _epoch(records, commit)])
    records.append(replace(chosen, revision=end(records)))
    return chosen.conversation


def answer_to_what_was_refused(records: list[Record], random: Random) -> str:
    failed = random.choice([record for record in records if isinstance(record, Fail)])
    return _answer_to(records, failed.conversation, failed.message)


def answer_to_what_was_never_sent(records: list[Record], random: Random) -> str:
    return _answer_to(records, random.choice(answers(records)).conversation, "nobody-said-this")


def answer_to_nothing(records: list[Record], random: Random) -> str:
    return _answer_to(records, random.choice(answers(records)).conversation)


def answers_in_the_wrong_order(records: list[Record], random: Random) -> str:
    """Two answers of one epoch change places in the log."""
    before, after = random.choice(_neighbours(records))
    swapped = {before.answer: after.seq, after.answer: before.seq}
    for place, record in enumerate(records):
        if isinstance(record, Answer) and record.answer in swapped:
            records[place] = replace(record, seq=swapped[record.answer])
        elif isinstance(record, Commit) and record.message in swapped:
            records[place] = replace(record, revision=swapped[record.message])
    return before.conversation


def message_before_one_that_was_acknowledged_first(records: list[Record], random: Random) -> str:
    """What was sent after an acknowledgement stands before it in the log."""
    latest: dict[str, Ok] = {}
    found: list[tuple[Ok, Ok]] = []
    sent_after: dict[str, Ok] = {}
    for record in records:
        if isinstance(record, Invoke) and record.conversation in latest:
            sent_after.setdefault(record.message, latest[record.conversation])
        elif isinstance(record, Ok):
            if record.message in sent_after:
                found.append((sent_after[record.message], record))
            latest[record.conversation] = record
    before, after = random.choice(found)
    records[records.index(before)] = replace(before, seq=after.seq)
    records[records.index(after)] = replace(after, seq=before.seq)
    return before.conversation


def two_messages_at_one_place(records: list[Record], random: Random) -> str:
    by = defaultdict(list)
    for record in records:
        if isinstance(record, Ok):
            by[record.conversation].append(record)
    first, second = random.choice([found for found in by.values() if len(found) > 1])[:2]
    records[records.index(second)] = replace(second, seq=first.seq)
    return first.conversation


def write_of_a_former_owner(records: list[Record], random: Random) -> str:
    """A zombie commits after the conversation was given to somebody else."""
    last = {commit.conversation: commit for commit in commits(records)}
    former = [one for one in commits(records) if one.owner and one.epoch < last[one.conversation].epoch]
    chosen = random.choice(former)
    records.append(replace(chosen, message="zombie", revision=end(records)))
    return chosen.conversation


def two_owners_in_one_epoch(records: list[Record], random: Random) -> str:
    chosen = random.choice([commit for commit in commits(records) if commit.message and commit.owner])
    records[records.index(chosen)] = replace(chosen, owner="somebody-else")
    return chosen.conversation


def effect_that_happened_twice(records: list[Record], random: Random) -> str:
    chosen = random.choice([record for record in records if isinstance(record, Effect)])
    records.insert(random.randrange(len(records)), replace(chosen, call="another-call"))
    return chosen.key


def words_that_are_not_in_the_log(records: list[Record], random: Random) -> str:
    chosen = random.choice(answers(records))
    records[:] = [one for one in records if not (isinstance(one, Commit) and one.message == chosen.answer)]
    return chosen.conversation


PLANTS: dict[Plant, str] = {
    lost_answer: "lost",
    second_answer: "duplicate",
    second_commit_of_an_answer: "duplicate",
    answer_to_what_was_refused: "phantom",
    answer_to_what_was_never_sent: "phantom",
    answer_to_nothing: "phantom",
    answers_in_the_wrong_order: "order",
    message_before_one_that_was_acknowledged_first: "order",
    two_messages_at_one_place: "order",
    write_of_a_former_owner: "owner",
    two_owners_in_one_epoch: "owner",
    effect_that_happened_twice: "effects",
    words_that_are_not_in_the_log: "unrecorded",
}


def answers(records: list[Record]) -> list[Answer]:
    return [record for record in records if isinstance(record, Answer)]


def commits(records: list[Record]) -> list[Commit]:
    return [record for record in records if isinstance(record, Commit)]


def end(records: list[Record]) -> int:
    """A place behind everything that stands in the log."""
    return 1 + max(commit.revision for commit in commits(records))


def _epoch(records: list[Record], commit: Commit) -> int:
    return max(one.epoch for one in commits(records) if one.conversation == commit.conversation)


def _answer_to(records: list[Record], conversation: str, *messages: str) -> str:
    epoch = max(commit.epoch for commit in commits(records) if commit.conversation == conversation)
    shown = Answer(conversation=conversation, messages=list(messages), answer="another", epoch=epoch, seq=end(records))
    _show(records, shown)
    return conversation


def _show(records: list[Record], answer: Answer) -> None:
    """An answer, properly committed by nobody in particular in the newest epoch."""
    epoch = max(commit.epoch for commit in commits(records) if commit.conversation == answer.conversation)
    commit = Commit(conversation=answer.conversation, message=answer.answer, epoch=epoch, owner="", revision=answer.seq)
    records += [commit, replace(answer, epoch=epoch)]


def _neighbours(records: list[Record]) -> list[tuple[Answer, Answer]]:
    """Real answers that follow each other in one conversation and epoch, each to an acknowledged message."""
    acked = {record.message for record in records if isinstance(record, Ok)}
    by: dict[tuple[str, int], dict[str, Answer]] = defaultdict(dict)
    for one in answers(records):
        if not one.told and acked & set(one.messages):
            by[one.conversation, one.epoch].setdefault(one.answer, one)
    ordered = [sorted(found.values(), key=lambda one: one.seq) for found in by.values()]
    return [pair for found in ordered for pair in pairwise(found)]
