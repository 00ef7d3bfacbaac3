"""Fan-out: one reader of the resume log an instance, one subscription an open conversation, many listeners."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from parley_gateway import metrics
from parley_gateway.condition import Parts
from parley_mesh.bus import Listener, Stored, Subscription
from parley_mesh.telemetry import log
from parley_proto import subjects
from parley_proto.broadcast import Notice
from parley_proto.conversation import Live, MessageShown, OwnerChanged, Shown, StepShown
from parley_proto.envelope import decode
from parley_proto.errors import PermanentError

OUT = "out."
Listen = Callable[[str, Listener], Awaitable[Subscription]]


class Reader(Protocol):
    """Somebody who follows a conversation; none of these may block."""

    conversation: str

    def on_shown(self, seq: int, entry: Shown) -> None: ...
    def on_live(self, item: Live) -> None: ...
    def on_notice(self, notice: Notice) -> None: ...
    def on_degraded(self, parts: Parts) -> None: ...


class Unanswered(Protocol):
    """The conversations that wait for an answer here, whether anybody still follows them or not."""

    def __contains__(self, conversation: str) -> bool: ...
    def begun(self, conversation: str, now: float) -> None: ...
    def shown(self, conversation: str, entry: Shown, now: float) -> None: ...


class Room:
    """The readers of one conversation here, and who owns it as far as they were told."""

    def __init__(self) -> None:
        self.readers: set[Reader] = set()
        self.subscription: Subscription | None = None
        self.owner = ""


class Hub:
    """Only committed entries come from the log; core NATS carries nothing but `live.<cid>` (design.md, 'One log').

    `offline` is what the last answer of a model said about it, None before there was one. `degraded` is what does not
    work just now.
    """

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._rooms: dict[str, Room] = {}
        self.offline: bool | None = None
        self.unanswered: Unanswered | None = None
        self.degraded: Parts = ()

    @property
    def open_rooms(self) -> int:
        return len(self._rooms)

    async def join(self, reader: Reader) -> None:
        """From now on `reader` hears everything new; TransientError when the mesh can't be heard."""
        room = self._rooms.get(reader.conversation)
        if room:
            room.readers.add(reader)
            return
        room = self._rooms[reader.conversation] = Room()
        room.readers.add(reader)
        try:
            subscription = await self._listen(subjects.live(reader.conversation), self._hear)
        except BaseException:
            self._rooms.pop(reader.conversation, None)
            raise
        if self._rooms.get(reader.conversation) is room:
            room.subscription = subscription
        else:
            await subscription.close()

    async def leave(self, reader: Reader) -> None:
        room = self._rooms.get(reader.conversation)
        if room is None:
            return
        room.readers.discard(reader)
        if not room.readers:
            self._rooms.pop(reader.conversation)
            if room.subscription:
                await room.subscription.close()

    def owned_by(self, conversation: str, owner: str) -> None:
        """Who owns it, for notices that concern one specialty."""
        if room := self._rooms.get(conversation):
            room.owner = owner

    def shown(self, stored: Stored) -> None:
        """A committed entry of any conversation: told to those who follow it here."""
        conversation = stored.subject.removeprefix(OUT)
        room = self._rooms.get(conversation)
        waits = self.unanswered is not None and conversation in self.unanswered
        entry = _read(stored.data, Shown, stored.subject) if room or waits else None
        if entry is None:
            return
        if self.unanswered is not None and waits:
            self.unanswered.shown(conversation, entry, time.monotonic())
        if room:
            self._show(room, stored.seq, entry)

    def _show(self, room: Room, seq: int, entry: Shown) -> None:
        if isinstance(entry, OwnerChanged):
            room.owner = entry.owner
        elif isinstance(entry, MessageShown) and entry.model:
            self.offline = entry.offline
        for reader in tuple(room.readers):
            reader.on_shown(seq, entry)

    def notice(self, notice: Notice) -> None:
        for room in tuple(self._rooms.values()):
            if notice.scope in ("all", room.owner):
                for reader in tuple(room.readers):
                    reader.on_notice(notice)

    def condition(self, parts: Parts) -> None:
        """What does not work has changed: told to everybody."""
        for part in {*self.degraded, *parts}:
            metrics.DEGRADED.labels(part).set(part in parts)
        self.degraded = parts
        for room in tuple(self._rooms.values()):
            for reader in tuple(room.readers):
                reader.on_degraded(parts)

    async def _hear(self, subject: str, data: bytes, _headers: dict[str, str]) -> None:
        conversation = subject.removeprefix("live.")
        room = self._rooms.get(conversation)
        item = _read(data, Live, subject) if room else None
        if room is None or item is None:
            return
        if self.unanswered is not None and _is_begun(item) and conversation in self.unanswered:
            self.unanswered.begun(conversation, time.monotonic())
        for reader in tuple(room.readers):
            reader.on_live(item)


def _is_begun(item: Live) -> bool:
    """Whether a turn has come further than to be looked up: that is what waits when there is too much to do."""
    return not isinstance(item, StepShown) or item.state != "started"


def _read(data: bytes, kind: Any, subject: str) -> Any:
    try:
        return decode(data, kind)
    except PermanentError as error:
        # During a rolling upgrade a newer service may say what this one does not know yet.
        log("parley.gateway").warning("entry not understood", extra={"subject": subject, "reason": error.message})
        return None
