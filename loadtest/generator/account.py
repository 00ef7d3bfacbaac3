"""The account of one conversation: which of its messages was accepted, refused, answered, and how often. Pure."""

from __future__ import annotations

import msgspec

from generator.frames import Event, Frame
from generator.tally import Tally
from parley_proto.envelope import digest
from parley_testkit.load_provider import read_mark

# What the gateway says when there is too much to do: come again later (reliability.md, 'Overload').
_BUSY = ("overloaded", "rate_limited")
_TENANT = "default"


class Message(msgspec.Struct):
    """One message. Times are monotonic seconds: when it was `due`, and when its first word was heard (0: not yet)."""

    client_id: str
    text: str
    due: float
    sent_at: float
    acked: bool = False
    refused: str = ""
    retry_ms: int = 0
    first_at: float = 0.0
    answers: list[str] = []

    @property
    def settled(self) -> bool:
        return bool(self.refused or self.answers)


class Account:
    """Hears every frame of a conversation, over however many connections."""

    def __init__(self, tally: Tally) -> None:
        self.thread = ""
        self.since = 0
        self.messages: dict[str, Message] = {}
        self._tally = tally
        self._drafts: dict[str, list[str]] = {}

    @property
    def unsettled(self) -> list[Message]:
        return [message for message in self.messages.values() if not message.settled]

    @property
    def known(self) -> bool:
        """Whether the mesh has anything of this conversation."""
        return bool(self.since) or any(message.acked for message in self.messages.values())

    def send(self, message: Message) -> None:
        # The rule of `CustomerMessage`: so an answer can be named even where no ack has come.
        self.messages[digest(_TENANT, self.thread, message.client_id)] = message
        self._tally.at(message.sent_at).sent += 1

    def readdress(self, messages: list[Message]) -> None:
        """They are said in another conversation than they were: their names in the log follow from both."""
        self.messages = {key: one for key, one in self.messages.items() if one not in messages}
        self.messages |= {digest(_TENANT, self.thread, one.client_id): one for one in messages}

    def take(self, frame: Frame, now: float) -> bool:
        """Whether a message was settled, by an answer or a refusal."""
        self.since = max(self.since, frame.seq)
        if frame.type == "event" and frame.ev:
            return self._event(frame.ev, frame.seq, now)
        if frame.type == "ack":
            self._acked(frame, now)
        return frame.type == "error" and bool(frame.id) and self._refused(frame, now)

    def _acked(self, frame: Frame, now: float) -> None:
        message = self.messages.get(frame.messageId)
        if message is None:
            self._tally.at(now).errors += 1
            self._tally.at(now).count_code("unknown_ack")
        elif not message.acked:
            message.acked = True
            self._tally.at(now).accepted += 1
            self._tally.at(now).time("ack", (now - message.sent_at) * 1000)

    def _refused(self, frame: Frame, now: float) -> bool:
        message = next((one for one in self.messages.values() if one.client_id == frame.id), None)
        if message is None or message.settled or message.acked:
            return False
        message.refused, message.retry_ms = frame.code, frame.retryAfterMs
        tick = self._tally.at(now)
        busy = frame.code in _BUSY and frame.retryAfterMs > 0
        tick.refused += busy
        tick.errors += not busy
        tick.count_code(frame.code)
        tick.given_up += 1
        return True

    def _event(self, ev: Event, seq: int, now: float) -> bool:
        match ev.type:
            case "TEXT_MESSAGE_START" if ev.role == "assistant":
                self._drafts[ev.messageId] = []
            case "TEXT_MESSAGE_CONTENT" if ev.messageId in self._drafts:
                self._drafts[ev.messageId].append(ev.delta)
                self._heard(now)
            case "TEXT_MESSAGE_END" if seq:
                return self._answered(ev, now)
            case "RUN_FINISHED" if ev.facts.answers:
                return self._answered(ev, now)
        return False

    def _heard(self, now: float) -> None:
        for message in self.unsettled:
            message.first_at = message.first_at or now

    def _answered(self, ev: Event, now: float) -> bool:
        """One answer may be for several messages; a second answer to one of them is one too many."""
        settled, text = False, "".join(self._drafts.pop(ev.messageId, []))
        name = ev.messageId or f"{ev.type}-{now}"
        for message in [one for key, one in self.messages.items() if key in ev.facts.answers]:
            if name in message.answers:
                continue
            if message.answers:
                self._tally.at(now).duplicated += 1
            else:
                self._count(message, ev, text, now)
                settled = True
            message.answers.append(name)
        return settled

    def _count(self, message: Message, ev: Event, text: str, now: float) -> None:
        tick = self._tally.at(now)
        tick.answered += 1
        tick.count_kind(ev.facts.kind or "cancelled")
        tick.given_up -= bool(message.refused)
        if not message.acked:
            # An answer says as much as an ack that was lost with its connection.
            message.acked = True
            tick.accepted += 1
        if ev.type == "RUN_FINISHED" or ev.facts.kind in ("failed", "cancelled"):
            tick.failed += 1
            tick.errors += 1
            tick.count_code(ev.facts.kind or "cancelled")
            return
        self._time(message, text, now)

    def _time(self, message: Message, text: str, now: float) -> None:
        """All from when it was due: an answer that kept its customer waiting has made the next message late."""
        tick, own = self._tally.at(now), read_mark(text)
        first = ((message.first_at or now) - message.due) * 1000
        end = (now - message.due) * 1000
        tick.time("first_token", first)
        tick.time("answer", end)
        if own is None:
            tick.unmarked += 1
            return
        tick.calls += own.calls
        over_first, over_end = max(0.0, first - own.first_ms), max(0.0, end - own.total_ms)
        tick.time("overhead_first", over_first)
        tick.time("overhead_end", over_end)
        tick.time("overhead", max(over_first, over_end))
