"""What one customer's connections see, as records: it stands at the wire, so that it takes nobody's word for it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from parley_proto.envelope import digest
from parley_testkit.history.recorder import Recorder
from parley_testkit.history.records import Answer, Fail, Info, Invoke, Ok, Told

# Refused before anything was logged: sending again later is a new try, and nothing is in doubt.
_NOT_TAKEN = "rate_limited"
_AGAIN = {_NOT_TAKEN, "internal", "unavailable", "overloaded", "restart"}
_NO_ANSWER = "notice"
_TOLD: dict[str, Told] = {"failed": "failed", "refused": "refused", "cancelled": "cancelled"}


class _Sent(msgspec.Struct):
    """One message on the wire. `pending` while an attempt has no outcome, `doubted` once one is in doubt."""

    attempts: int = 0
    pending: bool = False
    doubted: bool = False
    acked: bool = False


class Witness:
    """`parley_cli.client.Wire` for all connections of one customer.

    `threads` are the conversations that it has begun: a new one where the first was never heard of. `taken` are the
    messages that are in the log as far as the customer can know, `answered` those with an answer; `news` is set with
    each change.
    """

    def __init__(self, recorder: Recorder, tenant: str = "default") -> None:
        self._recorder = recorder
        self._tenant = tenant
        self._sent: dict[tuple[str, str], _Sent] = {}
        self._names: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        self.accepted: set[str] = set()
        self.taken: set[str] = set()
        self.answered: set[str] = set()
        self.news = asyncio.Event()

    @property
    def threads(self) -> list[str]:
        return list(dict.fromkeys(thread for thread, _ in self._sent))

    @property
    def waiting(self) -> set[str]:
        """What is in the log and has no answer yet."""
        return self.taken - self.answered

    def sent(self, thread: str, frame: dict[str, Any]) -> None:
        if frame["type"] != "message.send":
            return
        message = self._sent.setdefault((thread, frame["id"]), _Sent())
        if message.pending:
            self._doubt(thread, frame["id"], message, "sent again")
        # The rule of `CustomerMessage`: so an answer can be named even where neither ack nor echo has come.
        self._names[digest(self._tenant, thread, frame["id"])] = frame["id"]
        message.attempts += 1
        message.pending = not message.acked
        self._recorder.write(Invoke(conversation=thread, message=frame["id"], attempt=message.attempts))

    def received(self, thread: str, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "ack":
                self._acked(thread, frame)
            case "error" if "id" in frame:
                self._refused(thread, frame)
            case "event" if frame["ev"]["type"] == "TEXT_MESSAGE_END" and frame.get("seq"):
                self._shown(thread, frame["ev"]["messageId"], frame["ev"], frame["seq"])
            case "event" if frame["ev"]["type"] == "RUN_FINISHED" and frame.get("seq"):
                self._ended(thread, frame["ev"], frame["seq"])
            case "event" if frame["ev"]["type"] == "MESSAGES_SNAPSHOT":
                for message in frame["ev"]["messages"]:
                    self._shown(thread, message["id"], message, 0)
        self.news.set()

    def lost(self, thread: str) -> None:
        self.give_up(thread, "disconnected")

    def give_up(self, thread: str, reason: str) -> None:
        """Nobody will say any more what became of the attempts that have no outcome."""
        for (conversation, name), message in self._sent.items():
            if conversation == thread and message.pending:
                self._doubt(thread, name, message, reason)

    def _doubt(self, thread: str, name: str, message: _Sent, reason: str) -> None:
        message.pending, message.doubted = False, True
        self._recorder.write(Info(conversation=thread, message=name, reason=reason))

    def _acked(self, thread: str, frame: dict[str, Any]) -> None:
        name, log_id = frame["id"], frame["messageId"]
        message = self._sent[thread, name]
        message.acked, message.pending = True, False
        self._names[log_id] = name
        self.accepted.add(name)
        self.taken.add(name)
        self._recorder.write(
            Ok(conversation=thread, message=name, seq=frame["seq"], log_id=log_id, duplicate=frame["duplicate"])
        )

    def _refused(self, thread: str, frame: dict[str, Any]) -> None:
        name, code = frame["id"], frame["code"]
        message = self._sent.get((thread, name))
        if message is None or message.acked:
            return
        if code == _NOT_TAKEN:
            message.pending = False
        elif message.doubted or code in _AGAIN or "retryAfterMs" in frame:
            self._doubt(thread, name, message, code)
        else:
            message.pending = False
            self._recorder.write(Fail(conversation=thread, message=name, code=code))

    def _shown(self, thread: str, shown: str, holder: dict[str, Any], seq: int) -> None:
        facts: dict[str, Any] = (holder.get("metadata") or {}).get("parley") or {}
        if facts.get("clientId"):
            self._names[shown] = facts["clientId"]
            self.taken.add(facts["clientId"])
        elif facts.get("answers") or facts.get("kind", _NO_ANSWER) != _NO_ANSWER:
            self._answer(thread, shown, facts, seq)

    def _ended(self, thread: str, ev: dict[str, Any], seq: int) -> None:
        """A run that ended without a message: those that it was to answer were cancelled."""
        facts: dict[str, Any] = (ev.get("metadata") or {}).get("parley") or {}
        if facts.get("answers"):
            self._answer(thread, f"cancelled-{ev['runId']}", facts | {"kind": "cancelled"}, seq)

    def _answer(self, thread: str, shown: str, facts: dict[str, Any], seq: int) -> None:
        if (thread, shown) in self._told:
            return
        self._told.add((thread, shown))
        # What can't be named was not sent by this customer: the checker shall say so.
        messages = [self._names.get(name, name) for name in facts.get("answers", [])]
        self.answered.update(messages)
        self._recorder.write(
            Answer(
                conversation=thread,
                messages=messages,
                answer=shown,
                epoch=facts.get("epoch", 0),
                seq=seq,
                owner=facts.get("specialty", ""),
                told=_TOLD.get(facts.get("kind", ""), ""),
            )
        )
