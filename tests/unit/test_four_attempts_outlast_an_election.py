from __future__ import annotations

import pytest

from parley_mesh.middleware.acknowledge import MAX_DELAY_S, delay

ATTEMPTS = 4
LONGEST_ELECTION_S = 9.0


@pytest.mark.parametrize("code", ["no_responders", "timeout"])
def test_a_turn_is_not_given_up_while_the_log_has_no_leader(code: str) -> None:
    assert sum(delay(attempt, code) for attempt in range(1, ATTEMPTS + 1)) > LONGEST_ELECTION_S
    assert delay(1, code) <= 0.5


@pytest.mark.parametrize("code", ["", "no_responders", "log_refused"])
def test_the_next_attempt_comes_later_and_later_but_not_too_late(code: str) -> None:
    delays = [delay(attempt, code) for attempt in range(1, 40)]
    assert delays == sorted(delays) and delays[0] > 0 and delays[-1] == MAX_DELAY_S
