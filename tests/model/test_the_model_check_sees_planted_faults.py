"""A check is only believed once it has caught what it is there for: the log without ids, fencing or journal."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis.stateful import run_state_machine_as_test
from mesh_machine import MeshMachine
from mutant_wire import Mutation
from promises import Broken

from parley_conversation import domain

# The rarest, no fence for revoking, is mostly met within 60; a run ends with the first that shows it.
EXAMPLES = 200


@pytest.fixture(params=["no ids", "no expectations", "no journal", "no fence for revoking"])
def mutation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Mutation:
    if request.param == "no ids":
        # The ids in the checkpoint are the second line behind those of the log.
        monkeypatch.setattr(domain, "_remember", lambda _recent, _name, _hash: {})
    found: Mutation = request.param
    return found


@pytest.mark.timeout(1800)
def test_each_planted_fault_is_caught(mutation: Mutation) -> None:
    machine = type("Mutant", (MeshMachine,), {"mutation": mutation})
    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize=True,
        # To be caught is enough; the shortest way there is of no interest.
        phases=[hypothesis.Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    with pytest.raises(Broken):
        run_state_machine_as_test(machine, settings=settings)
