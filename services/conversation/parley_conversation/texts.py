"""Parley's own sentences to the customer, where no specialist speaks."""

from __future__ import annotations

BUSY = (
    "I am still answering your earlier messages, and this one did not fit in the queue. "
    "Please send it again when my answer is there."
)
REUSED = "Another message was sent under the same id before, so this one was not taken. Please send it again."
TOO_LATE = "I am carrying that out already and can't stop it halfway. I will tell you in a moment how it went."
FIRST_THIS = "I will bring you there as soon as I have finished what I have begun."
IN_DOUBT = "It is not known whether something that was begun has happened: look before anybody tries again."
NO_ROOM = "Too many messages waited in this conversation when it was retried: retry it once they are answered."
WANTS = {"escalation": "I would like to talk to a person."}
_FAILURES = {
    "deadline": "I could not finish your answer in time. Please ask me again; I will look at what has been done.",
    "dead_letter": "I could not handle this message, so I have set it aside. Please put it another way.",
    "unknown_outcome": (
        "I began to carry this out, and I can't tell whether it happened. I will not try it a second time: "
        "please ask for a person, who can find out."
    ),
    "no_receiver": "Nobody who could take over is available at the moment. Please ask me again in a minute.",
}
_FAILED = "Something went wrong on our side while I was answering. Please ask me again, or ask for a person."


def failure(code: str) -> str:
    return _FAILURES.get(code, _FAILED)


def wants(specialty: str) -> str:
    return f"I would like to talk to {specialty}."
