"""The hot window and what stands for the lines that have left it: a checkpoint is 32 KB or less. Pure.

Past a soft budget the owner asks a model for a summary of the oldest lines (`to_summarise`), which a `SummaryWritten`
brings back (`after`). Where none comes, they leave at the hard budget with a summary by rules (`fit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import msgspec

from parley_proto.conversation import Checkpoint
from parley_proto.envelope import encode
from parley_proto.specialist import Line, Summary
from parley_recap.bounds import RECAP_BYTES, bounded, size
from parley_recap.rules import by_rules
from parley_specialist.masking import masked

CHECKPOINT_BYTES = 32_768
# The window gets what the rest leaves, and no more than this.
WINDOW_BYTES = 12_000
# What waits for an answer: the open turn's lines and the queue.
PENDING_BYTES = 12_000
OFFER_BYTES = 2_500
BYTES_PER_TOKEN = 4
_LINE_BYTES = 400
_KEYS_BYTES = 64


def to_summarise(state: Checkpoint, window_tokens: int) -> list[Line]:
    """The oldest lines of a window past its budget, so many that half a budget is left; none where it is not past it.

    Never the newest line, and none that waits for an answer. A line costs its JSON, at about four bytes a token.
    """
    budget = window_tokens * BYTES_PER_TOKEN
    if _bytes(state.window) <= budget:
        return []
    waiting = {line.message_id for line in [*(state.turn.messages if state.turn else []), *state.queue]}
    gone, left = _split(state.window, budget // 2)
    return list(takewhile(lambda line: line.message_id not in waiting, gone if left else gone[:-1]))


def after(state: Checkpoint, upto: str) -> list[Line] | None:
    """The lines of the window that follow message `upto`; None where it has left the window already."""
    places = [place for place, line in enumerate(state.window) if line.message_id == upto]
    return state.window[places[-1] + 1 :] if places else None


def settled(window: Sequence[Line], lines: Sequence[Line]) -> list[Line]:
    """The window once `lines` wait for nothing more."""
    known = {line.message_id for line in window}
    return [*window, *(line for line in lines if line.message_id not in known)]


def has_room(waiting: Sequence[Line]) -> bool:
    """Whether so many lines may wait for an answer."""
    return _bytes(waiting) <= PENDING_BYTES


def cut(text: str) -> str:
    """`text` as a line holds it. Only what JSON has to spell out, such as control characters, gets shorter."""
    room = PENDING_BYTES - _LINE_BYTES
    if len(text) * 6 <= room or len(msgspec.json.encode(text)) <= room:
        return text
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        half = (fits + too_long) // 2
        fits, too_long = (half, too_long) if len(msgspec.json.encode(text[:half])) <= room else (fits, half)
    return text[:fits]


def fit(state: Checkpoint) -> Checkpoint:
    """`state` in 32 KB: the oldest lines of a window that is too large become part of the summary, by rules.

    An offer of that size is no offer any more: a yes to it runs nothing, and the specialist asks again.
    """
    offer = state.offer if state.offer and size(state.offer) <= OFFER_BYTES else None
    bare = msgspec.structs.replace(state, offer=offer, window=[], recap=Summary())
    room = min(WINDOW_BYTES, CHECKPOINT_BYTES - RECAP_BYTES - _KEYS_BYTES - len(encode(bare)))
    gone, window = _split(state.window, room) if _bytes(state.window) > room else ([], state.window)
    recap = bounded(by_rules(state.recap, [_hidden(line) for line in gone])) if gone else state.recap
    return msgspec.structs.replace(bare, window=window, recap=recap)


def _split(lines: list[Line], room: int) -> tuple[list[Line], list[Line]]:
    """What goes and what stays in `room` bytes. A question goes with its answers, unless nothing would stay."""
    start, used = len(lines), 0
    while start and used + size(lines[start - 1]) <= room:
        start -= 1
        used += size(lines[start])
    questions = [place for place in range(start, len(lines)) if place == 0 or lines[place].role == "customer"]
    start = questions[0] if questions else start
    return lines[:start], lines[start:]


def _hidden(line: Line) -> Line:
    """A number that is cut can't be recognised as a card's any more, so it is masked before."""
    return msgspec.structs.replace(line, text=masked(line.text))


def _bytes(lines: Sequence[Line]) -> int:
    return len(msgspec.json.encode(lines))
