"""What a client has seen of a conversation: AG-UI events in, messages out. Pure, so that any client can use it."""

from __future__ import annotations

from typing import Any

import msgspec


class Message(msgspec.Struct):
    """One message. `facts` are Parley's own (specialty, kind, model, offline, citations, epoch, answers)."""

    message_id: str
    role: str
    text: str = ""
    facts: dict[str, Any] = {}
    committed: bool = False
    retracted: bool = False


class Handoff(msgspec.Struct, frozen=True):
    """The conversation went from one specialty to another."""

    owner: str
    previous: str
    reason: str


class Transcript:
    """Follows one conversation's events. `since` is where a reconnect goes on; `runs` are the answers of ended runs.

    A TEXT_MESSAGE_START for a known message replaces its text; only the END that carries a seq commits it
    (chat-protocol.md, 'The WebSocket frames').
    """

    def __init__(self) -> None:
        self.since = 0
        self.messages: dict[str, Message] = {}
        self.handoffs: list[Handoff] = []
        self.notices: dict[str, str] = {}
        self.answers: list[Message] = []
        self._fresh: list[Message] = []

    def apply(self, ev: dict[str, Any], seq: int = 0) -> list[Message]:
        """Take one event; the messages that a run which ends with it has answered with, the last one is the answer."""
        self.since = max(self.since, seq)
        match ev.get("type"):
            case "TEXT_MESSAGE_START":
                self._start(ev)
            case "TEXT_MESSAGE_CONTENT":
                self._content(ev)
            case "TEXT_MESSAGE_END":
                self._end(ev, seq)
            case "MESSAGES_SNAPSHOT":
                self._snapshot(ev["messages"])
            case "ACTIVITY_SNAPSHOT":
                self._activity(ev)
            case "RUN_FINISHED":
                return self._finish(ev)
        return []

    def answering(self, client_id: str, message_id: str, done: list[Message]) -> list[Message]:
        """Those of `done` that answer a message, by its id in the log (empty while unknown) or by its echo.

        Where the mesh does not say what they answer, any run that ends after the echo counts.
        """
        echoes = {one.message_id for one in self.messages.values() if one.facts.get("clientId") == client_id}
        if not any(one.facts.get("answers") for one in done):
            return done if echoes else []
        return [one for one in done if {message_id, *echoes} & set(one.facts.get("answers", []))]

    def _start(self, ev: dict[str, Any]) -> None:
        facts = _facts(ev)
        known = self.messages.get(ev["messageId"])
        message = Message(ev["messageId"], ev["role"], facts=facts, retracted=bool(facts.get("retracted")))
        # One that is told again is the same message: its words come anew, but it is not news.
        message.committed = bool(known and known.committed)
        self.messages[ev["messageId"]] = message

    def _content(self, ev: dict[str, Any]) -> None:
        if message := self.messages.get(ev["messageId"]):
            message.text += ev["delta"]

    def _end(self, ev: dict[str, Any], seq: int) -> None:
        message = self.messages.get(ev["messageId"])
        if message is None:
            return
        message.facts = message.facts | _facts(ev)
        if seq and not message.committed:
            message.committed = True
            if message.role != "user":
                self._fresh.append(message)

    def _snapshot(self, messages: list[dict[str, Any]]) -> None:
        for shown in messages:
            known = self.messages.get(shown["id"])
            if known and known.committed:
                continue
            message = Message(shown["id"], shown["role"], shown.get("content", ""), _facts(shown), committed=True)
            self.messages[message.message_id] = message
            if message.role != "user":
                self._fresh.append(message)

    def _activity(self, ev: dict[str, Any]) -> None:
        content = ev["content"]
        if ev["activityType"] == "handoff" and content["previous"]:
            self.handoffs.append(Handoff(content["owner"], content["previous"], content["reason"]))
        elif ev["activityType"] == "notice":
            self.notices[ev["messageId"]] = content["text"]

    def _finish(self, ev: dict[str, Any]) -> list[Message]:
        done, self._fresh = self._fresh, []
        facts = _facts(ev)
        cancelled = ev.get("outcome", {}).get("type") == "cancelled"
        # An interrupted turn begins anew with what was added: its answer is still to come.
        if not done and cancelled and facts.get("reason") != "interrupted":
            facts = facts | {"kind": "cancelled"}
            done = [Message(f"cancelled-{ev['runId']}", "system", "", facts, committed=True)]
        if done:
            self.answers.append(done[-1])
        return done


def _facts(holder: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = (holder.get("metadata") or {}).get("parley") or {}
    return facts
