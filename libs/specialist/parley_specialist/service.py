"""A specialty as a service: everything but its instructions, tools and rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from parley_mesh.cards import Directory
from parley_mesh.middleware import compose
from parley_mesh.middleware.acknowledge import acknowledge
from parley_mesh.middleware.keepalive import keepalive
from parley_mesh.middleware.trace import trace
from parley_mesh.notices import NoticeBoard
from parley_mesh.runner import Mesh, Service
from parley_mesh.topology import LANES, TURN_ACK_WAIT_S, turn_consumer
from parley_mesh.work import WorkQueue
from parley_proto import subjects
from parley_proto.envelope import encode
from parley_specialist import metrics
from parley_specialist.backoffice import BackofficeClient
from parley_specialist.calls import Caller
from parley_specialist.clients import Consults, Knowledge, Model
from parley_specialist.ledger import Ledger
from parley_specialist.loop import Deps, Loop
from parley_specialist.pool import Pool
from parley_specialist.settings import Settings
from parley_specialist.spec import Spec
from parley_specialist.worker import Worker


async def specialist(spec: Spec, settings: Settings, mesh: Mesh) -> Service:
    """The service of `spec`: one worker pool for its lanes, but the consult lane has slots of its own."""
    pool = Pool(settings.slots_least, settings.slots)
    directory, board = Directory(mesh.client), NoticeBoard(mesh.client)
    backoffice = BackofficeClient(settings)
    deps = Deps(
        mesh.bus,
        Model(mesh.bus, settings.model_patience_s),
        Knowledge(mesh.bus, settings.search_timeout_s, settings.passages, lambda took: pool.note(took, in_flight())),
        Consults(mesh.bus, spec.name, settings.consult_timeout_s),
        Caller(spec, backoffice, Ledger(mesh.bus), idempotent=settings.backoffice_idempotent),
        directory,
        board,
        mesh.settings.shards,
    )
    worker = Worker(spec.name, Loop(spec, settings, deps), mesh.bus, mesh.settings.shards, most=settings.max_attempts)
    consults = {"consult": lambda _waiting: settings.consult_slots}
    queues = [_queue(lane, worker, consults.get(lane, pool.workers), mesh) for lane in LANES]

    def in_flight() -> int:
        return sum(queue.in_flight for queue in queues)

    async def start() -> None:
        await directory.open()
        await board.open()
        await mesh.bus.append(subjects.card(spec.name), encode(spec.card()))
        for queue in queues:
            await queue.start()

    async def drain() -> None:
        # Together: a lane whose turn has not come yet would go on taking in work.
        await asyncio.gather(*(queue.drain(mesh.settings.drain_s / 2) for queue in queues))

    async def close() -> None:
        await backoffice.close()
        await directory.close()
        await board.close()

    def stats() -> dict[str, Any]:
        slots = pool.workers(
            max(queue.waiting for lane, queue in zip(LANES, queues, strict=True) if lane not in consults)
        )
        metrics.IN_FLIGHT.labels(spec.name).set(in_flight())
        metrics.SLOTS.labels(spec.name).set(slots)
        return {"in_flight": in_flight(), "slots": slots, "notices": len(board.in_force(spec.name))}

    return Service(start=start, drain=drain, close=close, stats=stats)


def _queue(lane: str, worker: Worker, slots: Callable[[int], int], mesh: Mesh) -> WorkQueue:
    policies = [acknowledge(), keepalive(TURN_ACK_WAIT_S / 3), trace(f"specialist.{lane}")]
    handler = compose(worker.handle, policies)
    durable = turn_consumer(mesh.name, subjects.TRACK, lane)
    queue = WorkQueue(mesh.client, subjects.STREAM, durable, handler, slots=lambda: slots(queue.waiting))
    return queue
