"""What the customers of a load say: seeded, with bursts, double clicks and refusals, and a side effect at the end."""

from __future__ import annotations

from random import Random

import msgspec

from parley_proto.conversation import MAX_TEXT_BYTES

QUESTIONS = {
    "billing": ("Please send me the invoice of my last order", "Why is there an extra fee on my invoice?"),
    "technical": ("My router keeps dropping the connection", "My TV shows no picture", "How do I reset the router?"),
    "account": ("How do I change my e-mail address?", "Is two-step sign-in available?"),
    "returns": ("Where is my order?", "How long do I have to return something?", "My parcel has not arrived"),
    "nobody": ("hello", "thank you", "What is the capital of Peru?"),
}
CHARGED_TWICE = "I was charged twice for my last order"
CONSENT = "yes please"
WANTS_A_PERSON = "I want to talk to a person"
TOO_LONG = "x" * (MAX_TEXT_BYTES + 1)

_MOVES = ("one", "one", "two", "three", "twice", "refused")
_AT_ONCE = {"one": 1, "two": 2, "three": 3}


class Ask(msgspec.Struct, frozen=True):
    """Say all of `texts` at once, from as many devices: what comes during a turn is answered with what waits."""

    texts: tuple[str, ...]


class ClickTwice(msgspec.Struct, frozen=True):
    """Send the same message, with the same id, from two devices."""

    text: str


class Act(msgspec.Struct, frozen=True):
    """Complain, agree to what is offered, and where nothing is offered ask for a person, which opens a ticket."""

    complaint: str = CHARGED_TWICE
    consent: str = CONSENT
    otherwise: str = WANTS_A_PERSON


Move = Ask | ClickTwice | Act


def script(turns: int, random: Random) -> list[Move]:
    """`turns` moves of questions, the first a single one, then the side effect."""
    moves: list[Move] = [Ask((_question(random),))]
    moves += [_move(random) for _ in range(turns - 1)]
    return [*moves, Act()]


def _move(random: Random) -> Move:
    kind = random.choice(_MOVES)
    if kind == "twice":
        return ClickTwice(_question(random))
    if kind == "refused":
        return Ask((TOO_LONG,))
    return Ask(tuple(_question(random) for _ in range(_AT_ONCE[kind])))


def _question(random: Random) -> str:
    return random.choice(QUESTIONS[random.choice(sorted(QUESTIONS))])
