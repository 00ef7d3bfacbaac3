"""Who speaks when in a load test follows from a seed and a clock, never from how fast the mesh answers."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from parley_testkit.requirements import project_root

sys.path.append(str(project_root() / "loadtest"))

from generator import dialogues, options
from generator.dialogues import Manner, Turn
from generator.schedule import Burst, advance, first_at, pause

from parley_testkit.load_provider import LOOK_UP


def test_first_messages_are_spread_over_one_pause() -> None:
    random = Random(1)
    times = [first_at(number, 100, 20.0, random) for number in range(100)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] < 20
    assert max(after - before for before, after in pairwise(times)) < 0.4


def test_pauses_have_their_mean_and_nobody_writes_twice_in_a_moment() -> None:
    random = Random(2)
    pauses = [pause(20.0, random) for _ in range(10_000)]
    assert min(pauses) >= 10 and max(pauses) <= 30
    assert sum(pauses) / len(pauses) == pytest.approx(20, rel=0.02)


@pytest.mark.parametrize(
    ("at", "seconds", "expected"),
    [
        (0, 5, 5),
        (0, 10, 10),
        (0, 30, 12),
        (10, 10, 11),
        (38, 20, 40),
        (38, 25, 45),
        (0, 315, 45),
        (40, 5, 45),
        (50, 5, 55),
    ],
)
def test_time_passes_ten_times_as_fast_within_a_burst(at: float, seconds: float, expected: float) -> None:
    assert advance(at, seconds, Burst(10, 40, 10)) == pytest.approx(expected)
    assert advance(at, seconds, None) == at + seconds


def test_the_same_seed_says_the_same_words() -> None:
    turn, manner = Turn("Where is my order?"), Manner(0.5, 0.2)
    texts = [[dialogues.said(turn, manner, Random(seed)) for seed in range(1000)] for _ in range(2)]
    assert texts[0] == texts[1]
    fresh = sum(text not in (turn.text, f"{turn.text} {LOOK_UP}") for text in texts[0])
    assert 400 < fresh < 600
    assert 150 < sum(LOOK_UP in text for text in texts[0]) < 250


def test_the_dialogues_that_ship_are_of_all_specialties_and_have_several_turns() -> None:
    found = dialogues.read(dialogues.SHIPPED)
    assert len(found) == 40
    assert all(len(dialogue.turns) >= 4 for dialogue in found)
    assert len({turn.text for dialogue in found for turn in dialogue.turns}) > 150


def test_recorded_dialogues_keep_their_pauses_and_only_what_customers_said(tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(
        '{"turns": [{"role": "customer", "text": "Hello", "t": 10}, {"role": "agent", "text": "Yes?", "t": 12}, '
        '{"role": "tool_call", "api": "x", "args": [], "t": 13}, {"role": "customer", "text": "My order", "t": 34}]}\n'
        '{"turns": [{"role": "agent", "text": "Nobody there"}]}\n'
    )
    (only,) = dialogues.read(path)
    assert [(turn.text, turn.after_s) for turn in only.turns] == [("Hello", 0), ("My order", 24)]


def test_recorded_pauses_are_scaled_to_the_mean_that_is_asked_for() -> None:
    recorded = dialogues.Dialogue(tuple(Turn("…", after) for after in (0, 10, 30, 20)))
    (paced,) = dialogues.paced([recorded], 5.0)
    assert [turn.after_s for turn in paced.turns] == [0, 2.5, 7.5, 5]
    shipped = dialogues.paced(dialogues.read(dialogues.SHIPPED), 5.0)
    assert {turn.after_s for script in shipped for turn in script.turns} == {0}


def test_a_line_that_is_no_dialogue_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"turns": ["Hello"]}\nno json\n')
    with pytest.raises(ValueError, match="line 2"):
        dialogues.read(path)


def test_each_profile_has_sane_defaults() -> None:
    steady, saturation = options.parse([]), options.parse(["--profile", "saturation"])
    assert (steady.profile, steady.conversations, steady.provider, steady.closed) == ("steady", 500, "realistic", False)
    assert (saturation.provider, saturation.closed, saturation.warmup) == ("none", True, 10.0)
    assert options.parse(["--env", "PARLEY_RAG_PRECISION=int8"]).environ == {"PARLEY_RAG_PRECISION": "int8"}
    with pytest.raises(SystemExit):
        options.parse(["--fresh", "1.5"])
