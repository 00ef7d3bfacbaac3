"""Histories of a mesh that keeps its promises: seeded, with merged messages, resends, doubts, refusals and handoffs."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec

from parley_testkit.history.records import Answer, Commit, Effect, Fail, Info, Invoke, Ok, Record, Told

OWNERS = ["billing", "technical", "account", "returns", "escalation"]


class Log:
    """The stream's sequence, which all conversations share."""

    def __init__(self) -> None:
        self._seq = 0

    def append(self) -> int:
        self._seq += 1
        return self._seq


def history(seed: int, conversations: int = 8, messages: int = 8) -> list[Record]:
    """All conversations at once, in an order that `seed` decides."""
    random, log = Random(seed), Log()
    running = [Talk(f"c{number}", log, random).records(messages) for number in range(conversations)]
    told: list[Record] = []
    while running:
        one = random.choice(running)
        record = next(one, None)
        if record is None:
            running.remove(one)
        else:
            told.append(record)
    return told


class Talk:
    """One conversation: the customer's side and the owner's side, step by step."""

    def __init__(self, name: str, log: Log, random: Random) -> None:
        self._name = name
        self._log = log
        self._random = random
        self._epoch = 0
        self._owner = ""
        self._turn: list[str] = []
        self._queue: list[str] = []
        self._replies = 0

    def records(self, messages: int) -> Iterator[Record]:
        for number in range(messages):
            yield from self._send(f"{self._name}-m{number}")
            if self._random.random() < 0.5:
                yield from self._reply()
        while self._turn:
            yield from self._reply()

    def _send(self, message: str) -> Iterator[Record]:
        yield Invoke(conversation=self._name, message=message)
        fate = self._random.choice(["ok", "ok", "ok", "resent", "recovered", "vanished", "refused", "busy"])
        if fate == "refused":
            yield Fail(conversation=self._name, message=message, code="bad_content")
            return
        if fate == "vanished":
            yield Info(conversation=self._name, message=message, reason="timeout")
            return
        seq = self._log.append()
        yield from self._taken(message, told=fate == "busy")
        if fate in ("resent", "recovered"):
            yield Info(conversation=self._name, message=message, reason="disconnected")
        if fate == "resent":
            yield Invoke(conversation=self._name, message=message, attempt=2)
        if fate != "recovered":
            yield Ok(conversation=self._name, message=message, seq=seq, duplicate=fate == "resent")

    def _taken(self, message: str, *, told: bool) -> Iterator[Record]:
        if told:
            # Told at once, whatever is being answered just now.
            yield from self._answer([message], "refused")
        elif self._turn:
            self._queue.append(message)
        else:
            self._turn = [message]
            if not self._owner:
                yield self._move()

    def _reply(self) -> Iterator[Record]:
        if not self._turn:
            return
        if self._random.random() < 0.4:
            yield self._move()
        if self._random.random() < 0.2:
            yield Effect(key=f"{self._name}-{self._replies}", call=f"call-{self._name}-{self._replies}")
        yield from self._answer(self._turn, self._random.choice(["", "", "", "", "failed"]))
        self._turn, self._queue = self._queue, []

    def _answer(self, messages: list[str], told: Told) -> Iterator[Record]:
        self._replies += 1
        answer, seq = f"{self._name}-a{self._replies}", self._log.append()
        owner = "" if told else self._owner
        shown = Answer(
            conversation=self._name,
            messages=messages,
            answer=answer,
            epoch=self._epoch,
            seq=seq,
            owner=owner,
            told=told,
        )
        yield Commit(conversation=self._name, message=answer, epoch=self._epoch, owner=owner, revision=seq)
        yield shown
        if self._random.random() < 0.3:
            # Read again from the beginning.
            yield msgspec.structs.replace(shown, at=1)

    def _move(self) -> Record:
        self._epoch += 1
        self._owner = self._random.choice([owner for owner in OWNERS if owner != self._owner])
        revision = self._log.append()
        return Commit(conversation=self._name, epoch=self._epoch, owner=self._owner, revision=revision)
