"""Who comes back to a conversation that is in the archive waits for it; the others are welcomed meanwhile."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from parley_gateway.domain import Session
from parley_gateway.frames import Hello
from parley_gateway.greeting import resume_of
from parley_mesh.bus import Stored
from parley_proto.conversation import Checkpoint
from parley_testkit.samples import IDENTITY

RETIRED, LOGGED = "c-retired-0123456789", "c-logged-00123456789"


class Conversations:
    """`RETIRED` is in the archive, which answers when `archive` is set."""

    def __init__(self) -> None:
        self.archive = asyncio.Event()

    async def head(self, conversation: str) -> Stored:
        return Stored("conv", 7, b"" if conversation == RETIRED else b"{}", {}, 0)

    async def state(self, conversation: str, _head: Stored) -> Checkpoint:
        if conversation == RETIRED:
            await self.archive.wait()
        return Checkpoint(conversation, IDENTITY, 0)

    async def last_shown(self, _conversation: str) -> int:
        return 7


async def test_one_place_is_enough_for_all_whose_conversation_is_in_the_log() -> None:
    conversations = Conversations()
    hub = SimpleNamespace(owned_by=lambda *_: None)
    door = cast(Any, SimpleNamespace(conversations=conversations, hub=hub, resuming=asyncio.Semaphore(1)))
    session = cast(Session, SimpleNamespace(owns=lambda _identity: True))
    waiting = asyncio.create_task(resume_of(door, Hello("t", threadId=RETIRED, since=7), session))
    async with asyncio.timeout(10):
        found = [await resume_of(door, Hello("t", threadId=LOGGED, since=7), session) for _ in range(3)]
        assert all(one and one.checkpoint for one in found) and not waiting.done()
        conversations.archive.set()
        late = await waiting
    assert late and late.checkpoint and late.checkpoint.conversation == RETIRED
