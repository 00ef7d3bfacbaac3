"""Wiring: one function builds the archiver from its settings and its place in the mesh."""

from __future__ import annotations

import asyncio
from typing import Any

from nats.aio.msg import Msg

from parley_archiver.adapters import PostgresStore, Store
from parley_archiver.archiving import Archiving
from parley_archiver.attribution import Attribution
from parley_archiver.domain import Batching
from parley_archiver.handlers import Checkpoints, Transcripts
from parley_archiver.inbox import Inbox, delivery_of, settle
from parley_archiver.keyring import KEYS_STREAM, Keyring
from parley_archiver.lag import Lag
from parley_archiver.retiring import Retiring
from parley_archiver.settings import Settings, checked, master_key
from parley_archiver.trimming import LogEnd
from parley_mesh.endpoints import Endpoint
from parley_mesh.jetstream import NatsBus
from parley_mesh.pull import PullLoop
from parley_mesh.runner import Mesh, Service
from parley_mesh.tasks import end
from parley_proto import subjects

DURABLE = "archiver"
BATCH_BYTES = 4 << 20
PULL_EXPIRES_S = 5.0
TRANSCRIPTS_AT_ONCE = 4
CHECKPOINTS_AT_ONCE = 16
RETIRED_AT_ONCE = 1


async def build(settings: Settings, mesh: Mesh, store: Store | None = None) -> Service:
    """The archiver; it starts and answers without PostgreSQL. SettingsError for what can't work."""
    checked(settings)
    keyring = Keyring(NatsBus(mesh.client, KEYS_STREAM), master_key(settings), cached=settings.key_cache)
    store = store or PostgresStore(settings)
    inbox = Inbox(Batching(settings.batch, BATCH_BYTES, settings.linger_ms / 1000))
    pull = _pull(mesh, inbox)
    attribution = Attribution(mesh.bus, store, tenant=mesh.settings.tenant, shards=mesh.settings.shards)
    archiving = Archiving(inbox, store, attribution, keyring, stream=subjects.STREAM, committed=pull.wake)
    retiring = _retiring(settings, mesh, store)
    life = Archiver(pull, inbox, archiving, store, Lag(mesh.client, subjects.STREAM, DURABLE), retiring)
    transcripts = Transcripts(store, keyring, max_bytes=mesh.client.max_payload)
    checkpoints = Checkpoints(store, keyring)
    return Service(
        endpoints=[
            Endpoint("transcript", subjects.ARCHIVE_TRANSCRIPT, transcripts.answer, limit=TRANSCRIPTS_AT_ONCE),
            Endpoint("checkpoint", subjects.ARCHIVE_CHECKPOINT, checkpoints.answer, limit=CHECKPOINTS_AT_ONCE),
            Endpoint("retire", subjects.ARCHIVE_RETIRE, retiring.answer, limit=RETIRED_AT_ONCE),
        ],
        ready=life.reason,
        start=life.start,
        drain=life.drain,
        close=life.close,
        stats=life.stats,
    )


def _pull(mesh: Mesh, inbox: Inbox) -> PullLoop:
    def receive(message: Msg) -> None:
        inbox.put(delivery_of(message))

    return PullLoop(mesh.client, subjects.STREAM, DURABLE, receive, room=inbox.room, expires_s=PULL_EXPIRES_S)


def _retiring(settings: Settings, mesh: Mesh, store: Store) -> Retiring:
    return Retiring(
        mesh.bus,
        LogEnd(mesh.client, subjects.STREAM),
        store,
        durable=DURABLE,
        shards=mesh.settings.shards,
        after_s=settings.retire_after_s,
        every_s=settings.retire_every_s,
    )


class Archiver:
    """What runs from start to close."""

    def __init__(
        self, pull: PullLoop, inbox: Inbox, archiving: Archiving, store: Store, lag: Lag, retiring: Retiring
    ) -> None:
        self._pull = pull
        self._inbox = inbox
        self._archiving = archiving
        self._store = store
        self._lag = lag
        self._retiring = retiring
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._archiving.run(), name="archiving"),
            asyncio.create_task(self._lag.run(), name="lag"),
            asyncio.create_task(self._retiring.run(), name="retiring"),
        ]
        await self._pull.start()

    async def drain(self) -> None:
        """Pull no more and write what is here; while PostgreSQL is away, it goes back to the log instead."""
        self._inbox.close()
        await asyncio.gather(self._pull.stop(), asyncio.wait(self._tasks[:1]))
        # What the last open pull still brought came too late to be written.
        await settle([delivery.release for delivery in self._inbox.abandon()])

    async def close(self) -> None:
        await end(*self._tasks)
        await self._store.close()

    def reason(self) -> str:
        """Why the archive takes nothing now, '' while it does."""
        if self._tasks and self._tasks[0].done():
            return "The archiver has stopped writing: restart it; its log says why."
        return self._archiving.reason

    def stats(self) -> dict[str, Any]:
        return {"in_flight": self._inbox.held, "pending": self._lag.pending, "archived": self._archiving.rows}
