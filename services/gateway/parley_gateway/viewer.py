"""One reader of one conversation: what it missed, then what happens, without a gap and without doubles."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

import msgspec

from parley_gateway import events, metrics
from parley_gateway.adapters import Conversations
from parley_gateway.agui import Translator
from parley_gateway.condition import Parts
from parley_gateway.outbox import Outbox
from parley_gateway.said import Said
from parley_mesh.bus import Stored
from parley_proto.broadcast import Notice
from parley_proto.conversation import Checkpoint, Delta, Live, MessageShown, OwnerChanged, Shown
from parley_proto.envelope import Identity

MAX_BUFFERED = 2000
MAX_CHARACTERS = 512 * 1024


class Change(msgspec.Struct, frozen=True):
    """Other parts of the mesh are missing now."""

    parts: Parts


Happened = tuple[int, Shown] | Live | Notice | Change


class Viewer:
    """Registered with the hub before it reads the log, it keeps what happens meanwhile and tells it afterwards.

    `on_entry` hears of each committed entry after it was told.
    """

    def __init__(
        self,
        conversation: str,
        translator: Translator,
        outbox: Outbox,
        on_entry: Callable[[int, Shown], None] = lambda seq, entry: None,
    ) -> None:
        self.conversation = conversation
        self._translator = translator
        self._outbox = outbox
        self._on_entry = on_entry
        self._meanwhile: deque[Happened] | None = deque()
        self._characters = 0

    def on_shown(self, seq: int, entry: Shown) -> None:
        self._happened((seq, entry))

    def on_live(self, item: Live) -> None:
        if isinstance(item, Delta):
            metrics.DELTAS.inc()
        self._happened(item)

    def on_notice(self, notice: Notice) -> None:
        self._happened(notice)

    def on_degraded(self, parts: Parts) -> None:
        self._happened(Change(parts))

    async def catch_up(self, missed: AsyncIterator[tuple[int, Shown]]) -> None:
        """Tell what was missed, then what came meanwhile, then go live. A slow reader is waited for."""
        async for seq, entry in missed:
            await self._outbox.roomy()
            self._tell((seq, entry))
        while self._meanwhile:
            await self._outbox.roomy()
            self._tell(self._meanwhile.popleft())
        self.go_live()

    def go_live(self) -> None:
        """Nothing was missed: tell from now on what happens, beginning with what came meanwhile."""
        waiting, self._meanwhile = self._meanwhile, None
        for what in waiting or ():
            self._tell(what)

    def say(self, said: list[Said]) -> None:
        for item in said:
            self._outbox.push(item)

    def _happened(self, what: Happened) -> None:
        if self._meanwhile is None:
            self._tell(what)
        elif len(self._meanwhile) < MAX_BUFFERED and self._characters <= MAX_CHARACTERS:
            self._meanwhile.append(what)
            self._characters += _length(what)
        else:
            self._outbox.overflow()

    def _tell(self, what: Happened) -> None:
        """Without an await: whoever is cancelled between two of these leaves a well-formed stream behind."""
        if isinstance(what, Notice):
            self.say(self._translator.notice(what))
        elif isinstance(what, Change):
            self.say(self._translator.degraded(what.parts))
        elif isinstance(what, tuple):
            self.say(self._translator.shown(*what))
            self._on_entry(*what)
        else:
            self.say(self._translator.live(what))


def _length(what: Happened) -> int:
    return len(getattr(what[1] if isinstance(what, tuple) else what, "text", ""))


class Resume:
    """How a reader goes on: `kind` for the welcome, and the steps that follow it.

    The reader has joined before `look`, so what is shown after that comes to it by itself.
    """

    def __init__(self, conversations: Conversations, conversation: str, since: int) -> None:
        self._conversations = conversations
        self._conversation = conversation
        self._since = since
        self.kind = "replayed"
        self.checkpoint: Checkpoint | None = None
        self._head: Stored | None = None
        self._last = 0

    @property
    def owner(self) -> str:
        return self.checkpoint.owner if self.checkpoint else ""

    async def find(self) -> bool:
        """Look into the log, and say whether it has the state; otherwise the archive has."""
        self._head, self._last = await asyncio.gather(
            self._conversations.head(self._conversation), self._conversations.last_shown(self._conversation)
        )
        return self._head is None or bool(self._head.data)

    async def read(self) -> None:
        """Read the state, wherever it is: from the archive that takes as long as PostgreSQL does."""
        self.checkpoint = await self._conversations.state(self._conversation, self._head)

    async def speaker(self) -> Identity | None:
        """Whose conversation it is."""
        if self.checkpoint:
            return self.checkpoint.identity
        return await self._conversations.first_speaker(self._conversation)

    async def beyond_the_end(self) -> bool:
        """True when no entry can have the number that the client has seen last."""
        return self._since > self._last and self._since > await self._conversations.last_sent(self._conversation)

    async def look(self) -> None:
        """Decide between a replay and a fresh start. A gap can't be seen in the numbers, which are not dense."""
        if not self._since:
            complete = await self._has_beginning()
        else:
            complete = self._since == self._last or await self._conversations.has(self._since)
        self.kind = "replayed" if complete else "reset"

    async def run(self, viewer: Viewer, translator: Translator) -> None:
        """Tell `viewer` what it missed. The snapshot of a reset stands for everything that is in the log now."""
        if self.kind == "reset":
            kept = [item async for item in self._conversations.shown_after(self._conversation, 0, self._last)]
            viewer.say(self._snapshot(translator, kept))
        translator.skip_to(self._since)
        await viewer.catch_up(self._conversations.shown_after(self._conversation, translator.seq, self._last))

    async def _has_beginning(self) -> bool:
        """True when the first message that the owner remembers is still in the log, or a later one is its first."""
        window = self.checkpoint.window if self.checkpoint else []
        if not window or not window[0].at:
            return True
        async for _, entry in self._conversations.shown_after(self._conversation, 0, self._last):
            if isinstance(entry, MessageShown):
                return entry.message_id == window[0].message_id or entry.at < window[0].at
        return False

    def _snapshot(self, translator: Translator, kept: list[tuple[int, Shown]]) -> list[Said]:
        messages = {entry.message_id: events.whole(entry) for _, entry in kept if isinstance(entry, MessageShown)}
        state = self.checkpoint
        remembered = [line for line in (state.window if state else []) if line.message_id not in messages]
        older = [events.remembered(line) for line in remembered]
        changes = [entry for _, entry in kept if isinstance(entry, OwnerChanged)]
        owner = state.owner if state else changes[-1].owner if changes else ""
        epoch = state.epoch if state else changes[-1].epoch if changes else 0
        last = max([self._since, *(seq for seq, _ in kept)])
        return translator.reset([*older, *messages.values()], owner, epoch, last)
