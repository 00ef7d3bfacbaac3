"""One seed of what `make faults` does at length: faults under load, healed, drained, and the history checked."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from fault_row import Row, lasting
from fault_runner import Size, run
from fault_strikes import PAST_ITS_LEASE_S, kill_leader, kill_one, pause, roll
from fault_world import UNLIMITED, World

from parley_testkit.mesh import RunningMesh

SEED = 20261127
SIZE = Size(16, 8, 0.5)
SCHEDULE = ["conversation", "leader", "billing", "gateway", "rolling"]


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[RunningMesh]:
    environ = UNLIMITED | {"PARLEY_RAG_KNOWLEDGE_DIR": "none"}
    alone = ",".join(f"{name}=1" for name in ("rag", "llm-gateway", "archiver", "account", "technical", "returns"))
    with RunningMesh(nodes=3, replicas=alone, environ=environ) as mesh:
        yield mesh


@pytest.mark.timeout(2400)
async def test_nothing_is_lost_repeated_or_reordered_whoever_fails(three_nodes: RunningMesh) -> None:
    left = list(SCHEDULE)

    async def next_one(world: World) -> None:
        world.random.shuffle(left)
        match left.pop():
            case "leader":
                await kill_leader(world)
            case "rolling":
                await roll("escalation", world)
            case "billing":
                await pause("billing", world)
            case service:
                await kill_one(service, world)

    row = Row("schedule", next_one, len(SCHEDULE), lasting(PAST_ITS_LEASE_S))
    result = await run(World(three_nodes, Random(SEED)), row, SEED, SIZE)
    assert result.verdict.clean, result.verdict.violations
    assert result.verdict.accepted >= SIZE.customers * SIZE.turns and result.work.effects >= SIZE.customers
    assert result.strikes == len(SCHEDULE) and not result.trouble
