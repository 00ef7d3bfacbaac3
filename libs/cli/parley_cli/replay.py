"""Many customers at once: each line of a file is one conversation, followed until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from parley_cli.client import Answer, Conversation, Door, InputRefusedError
from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.figures import Outcome

_VERIFY_S = 30.0


class Line(msgspec.Struct, frozen=True):
    """One line of the file; fields that are not known here are left alone."""

    text: str
    specialty: str | None = None


def read_lines(path: Path, limit: int = 0) -> list[Line]:
    """The lines of a JSONL file. CommandError names the line that is not one."""
    try:
        rows = [row for row in path.read_bytes().split(b"\n") if row.strip()]
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.", EXIT_USAGE) from error
    chosen = rows[:limit] if limit > 0 else rows
    if not chosen:
        raise CommandError(f"{path} has no lines.", EXIT_USAGE)
    return [_line(path, number, row) for number, row in enumerate(chosen, start=1)]


async def replay(
    through: Door, lines: Sequence[Line], concurrency: int, timeout_s: float, told: Callable[[int], None]
) -> list[Outcome]:
    """The outcome of each line, in order; `told` hears after each how many are done.

    When all have ended, each conversation is read again from its beginning: what came twice shows there, whenever.
    """
    places = asyncio.Semaphore(concurrency)
    done = 0

    async def one(line: Line) -> tuple[str, Outcome]:
        nonlocal done
        async with places:
            result = await _one(through, line, timeout_s)
        done += 1
        told(done)
        return result

    found = await asyncio.gather(*(one(line) for line in lines))

    async def verified(thread: str, outcome: Outcome) -> Outcome:
        async with places:
            return await _verified(through, thread, outcome)

    return list(await asyncio.gather(*(verified(thread, outcome) for thread, outcome in found)))


async def _one(through: Door, line: Line, timeout_s: float) -> tuple[str, Outcome]:
    async with Conversation(through) as conversation:
        try:
            answer = await conversation.say(line.text, timeout_s)
        except InputRefusedError as error:
            return "", Outcome(refusal=error.code, expected=line.specialty or "")
        except TimeoutError:
            thread = conversation.thread if conversation.acked else ""
            return thread, Outcome(accepted=conversation.acked, expected=line.specialty or "")
        return conversation.thread, _outcome(answer, line)


def _outcome(answer: Answer, line: Line) -> Outcome:
    return Outcome(
        accepted=True,
        answered=True,
        finals=1,
        text=answer.text,
        specialty=answer.specialty,
        kind=answer.kind,
        handed_off=bool(answer.handoffs),
        expected=line.specialty or "",
        ms=answer.ms,
    )


async def _verified(through: Door, thread: str, outcome: Outcome) -> Outcome:
    """`outcome` with the number of different answers that the record holds, where that can be read."""
    if not thread:
        return outcome
    async with Conversation(through, thread) as again:
        try:
            await again.caught_up(_VERIFY_S)
        except TimeoutError:
            return outcome
    finals = {message.message_id for message in again.transcript.answers}
    return msgspec.structs.replace(outcome, finals=max(len(finals), outcome.finals))


def _line(path: Path, number: int, row: bytes) -> Line:
    try:
        line: Any = msgspec.json.decode(row, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} line {number} is not a JSON object with `text`: {error}.", EXIT_USAGE) from error
    found: Line = line
    return found
