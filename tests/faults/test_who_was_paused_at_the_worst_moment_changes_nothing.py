"""SIGSTOP between decision and commit, and before an intent: when they wake up, the log refuses them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from stopping import Stop

from parley_cli.client import Conversation, door
from parley_cli.operator import connected
from parley_cli.supervise import postgres
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.conversation import Checkpoint, PersonRequested
from parley_proto.envelope import decode, encode, now_ms
from parley_testkit.bench import Bench, until
from parley_testkit.history.third import cluster_of
from parley_testkit.mesh import RunningMesh
from parley_testkit.ports import free_port

REFUSED = re.compile(r"^parley_refused_writes_total (\d+)", re.MULTILINE)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with Bench() as bench:
        yield bench


async def test_an_owner_that_stood_still_between_decision_and_commit_is_refused(bench: Bench, tmp_path: Path) -> None:
    stop = Stop(tmp_path, "parley_conversation", "parley_conversation.adapters", "Log.commit")
    port = free_port()
    zombie = bench.launch("conversation-1", stop.environ | {"PARLEY_MESH_HEALTH_PORT": str(port)})
    await bench.until_shared(1)
    stop.arm()
    opening = asyncio.create_task(bench.open(20, 0.05))
    await asyncio.to_thread(stop.wait, zombie.pid)
    bench.launch("conversation-2")
    names = await opening
    await until(lambda: all(bench.answers[name] for name in names), 40)
    before = {name: dict(bench.answers[name]) for name in names}
    zombie.send_signal(signal.SIGCONT)
    async with asyncio.timeout(20):
        while await refused_writes(port) == 0:
            await asyncio.sleep(0.05)
    await bench.until_shared(2)
    assert {name: dict(bench.answers[name]) for name in names} == before
    assert not bench.shown_twice
    assert all(list(answers.values()) == [f"question of {name}"] for name, answers in before.items())


async def refused_writes(port: int) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        found = REFUSED.search(await response.text())
    return int(found[1]) if found else 0


async def test_a_specialist_that_stood_still_before_its_intent_does_not_act_after_the_handover(tmp_path: Path) -> None:
    stop = Stop(tmp_path, "parley_billing", "parley_specialist.ledger", "Ledger._intend")
    with RunningMesh(environ=stop.environ | {"PARLEY_RAG_KNOWLEDGE_DIR": "none"}) as mesh:
        pid = mesh.pid("billing-1")
        async with door(mesh.url) as through, connected(mesh.operator()) as client:
            bus = NatsBus(client)
            thread = await offered(through)
            stop.arm()
            async with Conversation(through, thread) as conversation:
                asking = asyncio.create_task(conversation.say("yes please", 90))
                await asyncio.to_thread(stop.wait, pid)
                await hand_over(bus, thread)
                os.kill(pid, signal.SIGCONT)
                await until(lambda: '"turn was revoked"' in mesh.log("billing-1"), 30)
                answer = await asking
            assert answer.specialty == "escalation"
        assert await refunds(mesh) == 0


async def offered(through: object) -> str:
    """The conversation of a customer who was offered a refund: half of the made-up ones were charged twice."""
    for _ in range(40):
        async with Conversation(through) as conversation:  # type: ignore[arg-type]
            if (await conversation.say("I was charged twice for my last order", 60)).kind == "offer":
                return conversation.thread
    raise AssertionError("nobody was charged twice")


async def hand_over(bus: NatsBus, thread: str) -> None:
    """The customer asks for a person while billing stands still."""
    stored = await bus.last(subjects.checkpoint(thread))
    assert stored is not None
    checkpoint: Checkpoint = decode(stored.data, Checkpoint)
    await bus.append(subjects.conv(thread), encode(PersonRequested(checkpoint.identity, now_ms())))
    async with asyncio.timeout(30):
        while b'"owner":"escalation"' not in (await bus.last(subjects.checkpoint(thread))).data:  # type: ignore[union-attr]
            await asyncio.sleep(0.05)


async def refunds(mesh: RunningMesh) -> int:
    """How many the third party has carried out."""
    connection = await postgres.connect(cluster_of(mesh.home, mesh.state), postgres.DATABASE)
    try:
        found = await connection.fetchval("SELECT count(*) FROM backoffice.calls WHERE name = 'refund_payment'")
    finally:
        await connection.close()
    return int(found)
