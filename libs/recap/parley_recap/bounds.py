"""How much a summary may hold: facts go before open questions, and promises last. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from parley_proto.envelope import encode
from parley_proto.specialist import Fact, Summary

RECAP_BYTES = 7_000
FIRST_PROMISES = 8
LONGEST_NOTE = 400
MOST_IDS = 4
LONGEST_ID = 64


def bounded(recap: Summary, limit: int = RECAP_BYTES) -> Summary:
    """`recap` in at most `limit` bytes (encoded): its oldest facts are dropped first, then its oldest open questions.

    Of more promises than fit, the first ones and the newest stay: nobody else remembers the first, the newest count.
    """
    facts, questions, promises = (
        [_cut(note) for note in notes] for notes in (recap.facts, recap.open_questions, recap.promises)
    )
    over = len(encode(Summary(facts, promises, questions))) - limit
    for notes, place in ((facts, 0), (questions, 0), (promises, FIRST_PROMISES)):
        while over > 0 and notes:
            over -= size(notes.pop(min(place, len(notes) - 1)))
    return Summary(facts, promises, questions)


def size(note: msgspec.Struct) -> int:
    """Bytes of a member of a JSON list, with its comma."""
    return len(encode(note)) + 1


def _cut(note: Fact) -> Fact:
    text = note.text if len(note.text) <= LONGEST_NOTE else note.text[: LONGEST_NOTE - 1] + "…"
    return Fact(text, known(note.message_ids))


def known(message_ids: Sequence[str]) -> list[str]:
    """Ids that a note may name: each once, the newest few."""
    return list(dict.fromkeys(name for name in message_ids if len(name) <= LONGEST_ID))[-MOST_IDS:]
