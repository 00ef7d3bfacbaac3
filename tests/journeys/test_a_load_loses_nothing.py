"""loadtest/load.py as it stands, with few customers for ten seconds: everything accepted is answered, once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from parley_testkit.requirements import project_root

KEYS = {
    "profile",
    "seconds",
    "conversations",
    "turns_per_s",
    "accepted",
    "answered",
    "lost",
    "duplicated",
    "refused",
    "errors",
    "overhead_ms",
    "first_token_ms",
    "cpu_ms_per_turn",
    "rss_mb",
    "loop_lag_ms_p99",
}
SERVICES = {"gateway", "conversation", "billing", "llm-gateway", "rag", "archiver"}


@pytest.mark.timeout(1260)
def test_ten_seconds_of_load(tmp_path: Path) -> None:
    few = ["--conversations", "12", "--seconds", "10", "--every", "2", "--look-up", "0.3", "--out", str(tmp_path)]
    command = [sys.executable, "loadtest/load.py", *few]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == json.loads((tmp_path / "latest.json").read_text())
    assert set(found) >= KEYS
    assert found["sent"] == found["accepted"] == found["answered"] > 40
    assert (found["lost"], found["duplicated"], found["refused"], found["errors"]) == (0, 0, 0, 0)
    assert found["log"] == {"messages": found["sent"], "lost": 0, "duplicated": 0}
    assert found["model_calls"] > found["answered"] - found["unmarked"], "nobody's tool was called"
    assert set(found["rss_mb"]) >= SERVICES and set(found["loop_lag_ms_p99"]) >= SERVICES
    assert 0 < found["overhead_ms"]["p50"] <= found["overhead_ms"]["p99"]
    assert "<svg" in (tmp_path / "latest.html").read_text()
