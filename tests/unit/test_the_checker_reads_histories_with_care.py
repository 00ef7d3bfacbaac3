"""`parley check` on files: exit codes, what it prints, what it refuses, and how fast it is."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random

import msgspec
import pytest
from generated_history import history
from planted_faults import PLANTS, Plant

from parley_cli.__main__ import main
from parley_testkit.history.records import Record


def written(folder: Path, records: list[Record], *more: bytes) -> str:
    path = folder / "history.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records) + b"".join(more))
    return str(path)


def test_a_clean_history_ends_with_0_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", written(tmp_path, history(1))]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line)
    assert shown["conversations"] == "8" and shown["messages"] == "64"
    assert (shown["lost"], shown["duplicate"], shown["owner"], shown["effects"], shown["unrecorded"]) == ("0",) * 5


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_broken_promise_ends_with_1_and_says_whose_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plant: Plant
) -> None:
    records = history(2)
    spoiled = plant(records, Random(2))
    assert main(["check", written(tmp_path, records)]) == 1
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{PLANTS[plant]}: ")]
    assert told and all(spoiled in line and " (line" in line for line in told)


def test_json_has_the_same_figures_and_the_violations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = history(3)
    plant = next(iter(PLANTS))
    spoiled = plant(records, Random(3))
    assert main(["check", written(tmp_path, records), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["conversations"] == 8
    assert {(one["kind"], one["conversation"]) for one in told["violations"]} == {("lost", spoiled)}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"{nonsense\n", "is not JSON"),
        (b"\n", "is not JSON"),
        (b'{"kind": "invoke", "conversation": "c", "mess', "is not JSON"),
        (b"\xff\xfe\n", "is not JSON"),
        (b"[" * 100_000 + b"\n", "is not"),
        (b"[]\n", "is not a JSON object with a kind"),
        (b'{"conversation": "c"}\n', "is not a JSON object with a kind"),
        (b'{"kind": 7}\n', "is not a JSON object with a kind"),
        (b'{"kind": "shrug", "conversation": "c"}\n', "has the unknown kind 'shrug'"),
        (b'{"kind": "ok", "conversation": "c", "message": "m"}\n', "is not a sound ok"),
        (b'{"kind": "ok", "conversation": "c", "message": "m", "seq": -1}\n', "is not a sound ok"),
        (b'{"kind": "fail", "conversation": "", "message": "m"}\n', "is not a sound fail"),
        (b'{"kind": "info", "conversation": "c", "message": "m", "seq": 1}\n', "is not a sound info"),
        (b'{"kind": "answer", "conversation": "c", "messages": ["m"], "answer": "a", "told": "x"}\n', "sound answer"),
    ],
)
def test_a_line_that_is_no_record_is_named_by_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: bytes, sentence: str
) -> None:
    records = history(4)
    assert main(["check", written(tmp_path, records, line)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"parley: Line {len(records) + 1} of ") and sentence in err


def test_a_file_that_is_not_there_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "nowhere.jsonl")]) == 2
    assert "can't be read" in capsys.readouterr().err


def test_an_empty_file_is_no_history_that_could_be_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", written(tmp_path, [])]) == 2
    assert "is empty: a history has a record a line" in capsys.readouterr().err


def test_a_hundred_thousand_lines_take_seconds(tmp_path: Path) -> None:
    records = history(6, conversations=3300)
    path = written(tmp_path, records)
    assert len(records) > 100_000
    began = time.process_time()
    assert main(["check", path]) == 0
    assert time.process_time() - began < 10
