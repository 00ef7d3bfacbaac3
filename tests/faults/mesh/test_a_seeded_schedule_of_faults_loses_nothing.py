"""One seed of what `make faults` does at length: faults under load, healed, drained, and the history checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fault_rows import Row, kill_leader, kill_one, pause, roll
from fault_runner import run
from fault_world import UNLIMITED, World

from parley_testkit.mesh import RunningMesh

SEED = 20261127
CUSTOMERS, TURNS = 16, 8
SCHEDULE = ["conversation", "leader", "billing", "gateway", "rolling"]


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[RunningMesh]:
    environ = UNLIMITED | {"PARLEY_RAG_KNOWLEDGE_DIR": "none"}
    alone = ",".join(f"{name}=1" for name in ("rag", "llm-gateway", "archiver", "account", "technical", "returns"))
    with RunningMesh(nodes=3, replicas=alone, environ=environ) as mesh:
        yield mesh


@pytest.mark.timeout(600)
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

    result = await run(three_nodes, Row("schedule", next_one, len(SCHEDULE)), SEED, CUSTOMERS, TURNS)
    assert result.verdict.clean, result.verdict.violations
    assert result.verdict.accepted >= CUSTOMERS * TURNS and result.verdict.effects >= CUSTOMERS // 2
    assert result.strikes >= 2
