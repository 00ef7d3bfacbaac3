from __future__ import annotations

from itertools import islice
from random import Random
from statistics import mean

from parley_testkit.history.customer import Thought, _new_value
from parley_testkit.history.scripts import CHANGES, Act, Change, script


def thoughts(seed: str, count: int, mean_s: float = 2.0) -> list[float]:
    thought = Thought(Random(seed), mean_s)
    return list(islice(iter(lambda: thought.seconds, None), count))


def test_customers_think_as_their_seed_says_and_for_so_long_on_average() -> None:
    assert thoughts("1/0", 5) == thoughts("1/0", 5) != thoughts("1/1", 5)
    assert 1.8 < mean(thoughts("1/0", 2000)) < 2.2
    assert thoughts("1/0", 3, 0.0) == [0.0, 0.0, 0.0]


def test_half_of_what_they_say_ends_in_a_side_effect() -> None:
    moves = [move for number in range(20) for move in script(36, Random(f"1/{number}"))]
    changes = [move for move in moves if isinstance(move, Change)]
    assert len(changes) > 300 and {move.what for move in changes} == set(CHANGES)
    assert sum(isinstance(move, Act) for move in moves) == 20


def test_no_change_is_like_another() -> None:
    for what in CHANGES:
        assert len({_new_value(what) for _ in range(100)}) == 100
