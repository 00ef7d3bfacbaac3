"""A customer talks through a mesh whose log is on three nodes, and does not notice much when one of them dies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from parley_cli.client import Conversation, door
from parley_cli.operator import connected
from parley_proto.subjects import STREAM
from parley_testkit.mesh import RunningMesh

# What it takes to answer about an invoice, each once: two cores carry no more.
SERVICES = "backoffice,llm-gateway,conversation,billing,gateway"
REPLICAS = "all=1,conversation=2,gateway=2"
# An election takes four to nine seconds (nats.md, 'Streams and limits'), and the machine may be busy.
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def three() -> Iterator[RunningMesh]:
    with RunningMesh(nodes=3, replicas=REPLICAS, environ={"PARLEY_UP_ONLY": SERVICES}) as running:
        yield running


async def leader(mesh: RunningMesh) -> str:
    """The node that takes what customers say."""
    async with connected(mesh.operator()) as client:
        cluster = (await client.jetstream().stream_info(STREAM)).cluster
    assert cluster is not None and cluster.leader
    return cluster.leader


async def test_the_leader_is_killed_and_the_next_message_is_accepted_and_answered(three: RunningMesh) -> None:
    async with door(",".join(three.state.urls)) as through, Conversation(through) as conversation:
        first = await conversation.say("I was charged twice for my last order", WITHIN_S)
        killed = await leader(three)
        pid = three.kill(killed)
        second = await conversation.say("Which payments do you mean?", WITHIN_S)
    assert first.text and second.text and second.message_id != first.message_id
    three.wait_restarted(killed, pid)
    three.wait_ready()
    assert three.run("scrub").returncode == 0
