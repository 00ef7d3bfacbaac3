"""What customers say: dialogues of our own that ship, or those of a file; the words of one customer follow from a seed.

A file has a dialogue a line, either `{"turns": ["…", …]}` or, with both sides and seconds, as recorded ones have it:
`{"turns": [{"role": "customer", "text": "…", "t": 29}, …]}`. Pure but for reading the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec

from parley_testkit.load_provider import HAND_OVER, LOOK_UP

SHIPPED = Path(__file__).parent / "dialogues.jsonl"
_LONGEST = 1_000
_LONGEST_PAUSE = 10
_STORY = "The order came late, one of two lamps was broken, and the courier took both of them back with him. "
_STORY_CHARACTERS = 1_500
_HANDED_TURNS = 4
_DETAILS = (
    "It is order ORD-{number}.",
    "It was on the {day}th at {hour}:{minute:02d}.",
    "The amount is {number}.{minute:02d} euros.",
    "My postcode is {number}.",
    "The parcel has the number {number}{day}.",
)


class Turn(msgspec.Struct, frozen=True):
    """`text` and how many seconds after the message before it; 0 where nobody has measured that."""

    text: str
    after_s: float = 0.0


class Dialogue(msgspec.Struct, frozen=True):
    turns: tuple[Turn, ...]


class Manner(msgspec.Struct, frozen=True):
    """Shares of the messages: `fresh` ones have words that nobody has said before, so that no cache knows them;
    `look_up` ones have a tool called."""

    fresh: float
    look_up: float


class _Recorded(msgspec.Struct):
    text: str = ""
    role: str = "customer"
    t: float = 0.0


class _Row(msgspec.Struct):
    turns: list[str | _Recorded]


def read(path: Path) -> list[Dialogue]:
    """The dialogues of a file that have anything to say. ValueError names the line that is none."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            row = msgspec.json.decode(line, type=_Row)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} line {number} is no dialogue: {error}") from error
        if turns := _turns(row.turns):
            found.append(Dialogue(turns))
    if not found:
        raise ValueError(f"{path} has no dialogues")
    return found


def handing_over() -> list[Dialogue]:
    """The work that Parley's peers do as well (loadtest/peers): each turn goes through two specialists.

    The words are long, so that with what was said before some 4 KB are handed over, and always the same, so that what
    peers don't do, to look things up, costs as little as it can.
    """
    text = f"{(_STORY * 20)[:_STORY_CHARACTERS]} Where is my order? {HAND_OVER}"
    return [Dialogue((Turn(text),) * _HANDED_TURNS)]


def paced(scripts: Sequence[Dialogue], mean_s: float) -> list[Dialogue]:
    """The dialogues with their recorded pauses as they are to each other, but `mean_s` long on average.

    None is longer than ten times that: who has left for lunch is no load.
    """
    known = [turn.after_s for script in scripts for turn in script.turns if turn.after_s]
    factor = mean_s * len(known) / sum(known) if known else 1.0
    return [
        Dialogue(tuple(Turn(turn.text, min(turn.after_s * factor, _LONGEST_PAUSE * mean_s)) for turn in script.turns))
        for script in scripts
    ]


def said(turn: Turn, manner: Manner, random: Random) -> str:
    """The words of one message."""
    text = turn.text
    if random.random() < manner.fresh:
        text = f"{text} {_detail(random)}"
    return f"{text} {LOOK_UP}" if random.random() < manner.look_up else text


def _detail(random: Random) -> str:
    return random.choice(_DETAILS).format(
        number=random.randrange(100_000, 1_000_000),
        day=random.randrange(4, 20),
        hour=random.randrange(8, 20),
        minute=random.randrange(60),
    )


def _turns(turns: Sequence[str | _Recorded]) -> tuple[Turn, ...]:
    recorded = [_Recorded(turn) if isinstance(turn, str) else turn for turn in turns]
    spoken = [turn for turn in recorded if turn.role == "customer" and turn.text.strip()]
    first = [Turn(turn.text[:_LONGEST]) for turn in spoken[:1]]
    return (*first, *(Turn(after.text[:_LONGEST], max(0.0, after.t - before.t)) for before, after in pairwise(spoken)))
