"""Model check of conversation and journal in memory: any order of what customers do and what goes wrong.

PARLEY_MODEL_STEPS sets how many steps there are to be at least; with it the run is a new one each time, and its seed
is printed: PARLEY_MODEL_SEED brings it back. Without it there are 1,000 steps, the same each time.
"""

from __future__ import annotations

import os
import random

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test
from mesh_machine import MeshMachine

STEPS = 1_000
AN_EXAMPLE = 30
# An example may be shorter than it could be.
MARGIN = 1.5


@pytest.mark.timeout(3600)
def test_the_mesh_keeps_its_promises_whatever_goes_wrong() -> None:
    wanted = os.environ.get("PARLEY_MODEL_STEPS")
    steps = int(wanted or STEPS)
    settings = hypothesis.settings(
        max_examples=int(steps / AN_EXAMPLE * MARGIN),
        stateful_step_count=AN_EXAMPLE,
        deadline=None,
        database=None,
        derandomize=not wanted,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    MeshMachine.steps = 0
    if wanted:
        seed = int(os.environ.get("PARLEY_MODEL_SEED") or random.randrange(1 << 32))
        print(f"seed {seed}")
        hypothesis.seed(seed)(MeshMachine)
    run_state_machine_as_test(MeshMachine, settings=settings)
    assert MeshMachine.steps >= steps
