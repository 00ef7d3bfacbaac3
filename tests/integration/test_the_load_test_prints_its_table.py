"""loadtest/llm_gateway.py runs as it stands, and its last line is one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys

from parley_testkit.requirements import project_root


def test_the_cost_of_the_gateway_is_measured() -> None:
    small = ["--streams", "50", "--concurrency", "8", "--rss-streams", "50"]
    command = [sys.executable, "loadtest/llm_gateway.py", *small]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert [row["path"] for row in found["rows"]] == ["gateway HTTP", "gateway NATS"]
    assert found["cancel"]["settled"] == 200
    assert set(found["rss_mb"]) == {"tenth", "half", "all", "drift_percent"}
