"""The work that every peer does, word for word the same; elixir_peer.exs says the same things in its language.

A turn: the customer's words reach the first specialist, who hands the conversation to the second one with a context of
CONTEXT_BYTES; the second one, having read it, replies with 30 tokens. No model is asked and none is waited for. The
turn counts when its state (who owns the conversation, the context, all words so far) is as durable as the peer makes
it.
A conversation has TURNS_EACH turns, one after the other; each turn begins with the first specialist again.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT_BYTES = 4096
TURNS_EACH = 4
REPLY = " ".join(["token"] * 30)


@dataclass(frozen=True)
class Kept:
    """What a peer that starts anew finds of a conversation: the last context, and how many messages (two a turn)."""

    context: str
    messages: int


def question(conversation: str, turn: int) -> str:
    return f"{conversation} asks for the {turn}. time where my order is."


def handed(conversation: str, turn: int) -> str:
    """The context that the first specialist hands over: of CONTEXT_BYTES, and another one each turn."""
    fact = f"{conversation} turn {turn}: order 4711 was paid twice, the customer wants the second payment back; "
    return (fact * (CONTEXT_BYTES // len(fact) + 1))[:CONTEXT_BYTES]


def reply(context: str) -> str:
    """The second specialist's 30 tokens. ValueError when it was handed nothing."""
    if len(context) != CONTEXT_BYTES:
        raise ValueError(f"The second specialist was handed {len(context)} bytes.")
    return REPLY


def conversations(run: str, turns: int) -> list[str]:
    """The names of as many conversations as `turns` need."""
    return [f"{run}-{number}" for number in range(max(1, turns // TURNS_EACH))]


def is_whole(conversation: str, kept: Kept | None) -> bool:
    """Whether the state after the last turn is there."""
    return kept == Kept(handed(conversation, TURNS_EACH), 2 * TURNS_EACH)
