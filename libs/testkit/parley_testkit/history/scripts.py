"""What the customers of a load say: seeded, with bursts, double clicks and refusals, and many side effects."""

from __future__ import annotations

from random import Random

import msgspec

from parley_proto.conversation import MAX_TEXT_BYTES

# Most need a tool to be answered, some a help page, and some nobody can answer.
QUESTIONS = {
    "billing": (
        "Please send me the invoice of my last order",
        "Explain my invoice",
        "Show me my payments",
        "Why is there an extra fee on my invoice?",
    ),
    "technical": ("My router keeps dropping the connection", "Is my router online?", "List my devices"),
    "account": ("How do I change my e-mail address?", "Is two-step sign-in available?"),
    "returns": ("What is the status of my return?", "Where is my order?", "How long do I have to return something?"),
    "nobody": ("hello", "thank you", "What is the capital of Peru?"),
}
# A new value each time, so that each is an effect of its own however often a customer asks.
CHANGES = {
    "email": "Please change my e-mail address to {new}",
    "phone": "Please change my mobile number to {new}",
}
CHARGED_TWICE = "I was charged twice for my last order"
REFUND = "refund payment"
CONSENT = "yes please"
WANTS_A_PERSON = "I want to talk to a person"
TOO_LONG = "x" * (MAX_TEXT_BYTES + 1)

_MOVES = ("change", "change", "change", "change", "change", "change", "one", "one", "two", "three", "twice", "refused")
_AT_ONCE = {"one": 1, "two": 2, "three": 3}


class Ask(msgspec.Struct, frozen=True):
    """Say all of `texts` at once, from as many devices: what comes during a turn is answered with what waits."""

    texts: tuple[str, ...]


class ClickTwice(msgspec.Struct, frozen=True):
    """Send the same message, with the same id, from two devices."""

    text: str


class Change(msgspec.Struct, frozen=True):
    """Ask for a new value of `what`, one of CHANGES, and agree to what is offered: a side effect."""

    what: str
    consent: str = CONSENT


class Act(msgspec.Struct, frozen=True):
    """Complain, agree to what is offered, and where nothing is offered ask for a person, which opens a ticket."""

    complaint: str = CHARGED_TWICE
    consent: str = CONSENT
    otherwise: str = WANTS_A_PERSON


Move = Ask | ClickTwice | Change | Act


def script(turns: int, random: Random) -> list[Move]:
    """`turns` moves, the first a single question, then what opens a ticket or refunds a payment."""
    moves: list[Move] = [Ask((_question(random),))]
    moves += [_move(random) for _ in range(turns - 1)]
    return [*moves, Act()]


def _move(random: Random) -> Move:
    kind = random.choice(_MOVES)
    if kind == "twice":
        return ClickTwice(_question(random))
    if kind == "change":
        return Change(random.choice(sorted(CHANGES)))
    if kind == "refused":
        return Ask((TOO_LONG,))
    return Ask(tuple(_question(random) for _ in range(_AT_ONCE[kind])))


def _question(random: Random) -> str:
    return random.choice(QUESTIONS[random.choice(sorted(QUESTIONS))])
