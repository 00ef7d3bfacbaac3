"""The same model check on a real server and in real time: few steps, to hold the one in memory to the truth.

PARLEY_MODEL_STEPS makes them more, one example for each 1,000 steps of the run in memory.
"""

from __future__ import annotations

import asyncio
import os

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test
from mesh_machine import MeshMachine

from parley_mesh import topology
from parley_mesh.wire import Wire
from parley_testkit.nats_server import NatsServer

AN_EXAMPLE = 10
EXAMPLES = 2


class MeshOnNats(MeshMachine):
    turn_timeout_s = 4.0
    window_s = 2
    pace = 0.1

    def _begin(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._nats = NatsServer()
        self.do(self._nats.__aenter__())

    def _end(self) -> None:
        self.do(self._nats.__aexit__(None, None, None))
        self._loop.close()

    async def _connect(self) -> Wire:
        return await self._nats.connect()


@pytest.mark.timeout(1800)
def test_the_mesh_keeps_its_promises_on_a_real_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "SHARD_ACK_WAIT_S", 1)
    monkeypatch.setattr(topology, "TURN_ACK_WAIT_S", 1)
    monkeypatch.setattr(topology, "PIN_TIMEOUT_S", 0.9)
    more = int(os.environ.get("PARLEY_MODEL_STEPS", "0")) // 1_000
    settings = hypothesis.settings(
        max_examples=EXAMPLES + more,
        stateful_step_count=AN_EXAMPLE,
        deadline=None,
        database=None,
        derandomize=True,
        # Shrinking in real time would take longer than reading what happened.
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(MeshOnNats, settings=settings)
