"""Parley's own sentences to the customer, where no specialist speaks."""

from __future__ import annotations

from collections.abc import Sequence

BUSY = (
    "I am still answering your earlier messages, and this one did not fit in the queue. "
    "Please send it again when my answer is there."
)
REUSED = "Another message was sent under the same id before, so this one was not taken. Please send it again."
WANTS = {"escalation": "I would like to talk to a person."}
_TOPICS = {
    "billing": "a charge, an invoice or a refund",
    "technical": "a device that does not work",
    "account": "your account or sign-in",
    "returns": "an order, a delivery or a return",
    "escalation": "a complaint, or a person to talk to",
}
_FAILURES = {
    "deadline": "I could not finish your answer in time. Please ask me again; I will look at what has been done.",
    "dead_letter": "I could not handle this message, so I have set it aside. Please put it another way.",
    "no_receiver": "Nobody who could take over is available at the moment. Please ask me again in a minute.",
}
_FAILED = "Something went wrong on our side while I was answering. Please ask me again, or ask for a person."


def ask_back(specialties: Sequence[str]) -> str:
    """The question when nobody can tell what a message is about."""
    topics = [_TOPICS.get(name, name) for name in specialties]
    listed = "; ".join(topics[:-1]) + (f"; or {topics[-1]}" if len(topics) > 1 else "".join(topics))
    return f"I want to bring you to the right specialist. What is it about: {listed}?"


def failure(code: str) -> str:
    return _FAILURES.get(code, _FAILED)


def wants(specialty: str) -> str:
    return f"I would like to talk to {specialty}."
