"""Wiring of the conversation service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from parley_conversation import metrics
from parley_conversation.adapters import Intents, Log
from parley_conversation.handlers import Conversations
from parley_conversation.memory import Memory
from parley_conversation.routing import Router
from parley_conversation.settings import Settings
from parley_conversation.summaries import Summaries
from parley_mesh.cards import Directory
from parley_mesh.notices import NoticeBoard
from parley_mesh.runner import Mesh, Service
from parley_mesh.shards import Shards
from parley_specialist.clients import Model

MEBIBYTE = 1 << 20
DIRECTORY_S = 5.0


async def build(settings: Settings, mesh: Mesh) -> Service:
    """Everything a conversation owner needs, from settings and one connection."""
    shards = mesh.settings.shards
    directory, board = Directory(mesh.client), NoticeBoard(mesh.client)
    memory = Memory(settings.memory_budget_mb * MEBIBYTE, shards, settings.memory_idle_s)
    store = Log(mesh.bus, shards)
    router = Router.load(Path(settings.router) if settings.router else None)
    intents = Intents(mesh.bus, router, settings.route_timeout_s, settings.reroute_timeout_s)
    summaries = Summaries(settings, mesh.bus, Model(mesh.bus, settings.summary_patience_s), shards)
    keeper = Conversations(settings, store, memory, intents, directory, board, summaries.consider)
    owner = Shards(
        mesh.client,
        mesh.bus,
        keeper,
        mesh.instance,
        shards=shards,
        heartbeat_s=settings.heartbeat_s,
        timeout_s=settings.peer_timeout_s,
    )

    async def start() -> None:
        await directory.open()
        await directory.read(DIRECTORY_S)
        await board.open()
        await owner.start()

    async def drain() -> None:
        await summaries.end()
        await keeper.drain(mesh.settings.drain_s / 2)
        await owner.stop()

    async def close() -> None:
        await directory.close()
        await board.close()

    def ready() -> str:
        return "" if owner.owned else "conversation owns no shard yet: it waits for its share."

    def stats() -> dict[str, Any]:
        metrics.SHARDS.set(owner.pinned)
        return {"in_flight": keeper.in_flight, "shards": len(owner.owned), "states": len(memory)}

    return Service(start=start, drain=drain, close=close, ready=ready, stats=stats)
