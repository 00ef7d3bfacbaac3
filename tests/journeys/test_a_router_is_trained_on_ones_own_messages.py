"""`parley route`: train, measure, and be told what is wrong, without a mesh."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

WORDS = {
    "parcels": ["where is my parcel", "the delivery is late", "track the package", "courier did not come"],
    "invoices": ["send me the invoice", "the bill is too high", "charged twice", "payment failed"],
    "oos": ["sing a song", "what is the weather", "tell me a joke", "who won the match"],
}


def parley(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "parley_cli", "route", *arguments, "--data", str(cwd / "data")]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=110, check=False)


def rows(tail: str = "") -> str:
    chosen = random.Random(1)
    names = ("today", "please", "again", "now", "for my mother", "this week", "thanks", "quickly", "since Monday")
    lines = [
        json.dumps({"text": f"{text} {name} {chosen.randint(1, 9)}", "intent": label})
        for label, texts in WORDS.items()
        for text in texts
        for name in names
    ]
    return "\n".join(lines) + "\n" + tail


def test_a_head_is_trained_measured_and_judged_on_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.jsonl").write_text(rows("no json\n" + json.dumps({"text": 5, "intent": "x"}) + "\n"))
    done = parley("train", "own.jsonl", "--out", "own.npz", "--json", cwd=tmp_path)
    report = json.loads(done.stdout)["own.jsonl"]
    assert done.returncode == 1 and "own.jsonl line 109" in done.stderr and "own.jsonl line 110" in done.stderr
    assert "label from 'intent'" in done.stderr
    assert (report["messages"], report["labels"], report["outside"]) == (108, 3, 36)
    assert report["in_scope"] > 0.9 and report["outside_recall"] > 0.5 and (tmp_path / "own.npz").stat().st_size < 1e6
    (tmp_path / "new.jsonl").write_text('{"text": "has the courier got my package", "intent": "parcels"}\n')
    judged = parley("eval", "new.jsonl", "--head", "own.npz", "--json", cwd=tmp_path)
    assert judged.returncode == 0 and json.loads(judged.stdout)["new.jsonl"]["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"\x00\xff\x00\xff", "is not JSON"),
        (b'{"text": "only one label", "label": "a"}\n' * 3, "has only the label 'a'"),
        (
            b'{"text": "x", "label": "a"}\n{"text": "y", "label": "a"}\n{"text": "z", "label": "b"}\n',
            "a single example",
        ),
        (b'{"text": "no label"}\n', "no field for the label"),
        (b'{"text": "' + b"x" * 102_400 + b'", "label": "a"}\n', "characters"),
        (b'{"text": NaN, "label": "a"}\n', "is not JSON"),
        (b'{"text": "same", "label": "a"}\n{"text": "Same ", "label": "b"}\n' * 5, "a single example"),
        (b'{"turns": [{"text": "hi", "intent": "greeting", "n": "first"}]}\n', "no turn of it says"),
        (b'{"turns": 5}\n', "are not a list of objects"),
    ],
)
def test_what_can_not_be_trained_on_is_refused_in_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    done = parley("train", "bad.jsonl", "--out", "bad.npz", cwd=tmp_path)
    assert done.returncode == 1 and sentence in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "bad.npz").exists()
