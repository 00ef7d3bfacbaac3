"""loadtest/reconnect.py as it stands, with few clients: the gateway dies, all resume, and nobody misses a message."""

from __future__ import annotations

import json
import subprocess
import sys

from parley_testkit.requirements import project_root


def test_after_the_gateway_has_died_every_client_gets_what_it_missed() -> None:
    command = [sys.executable, "loadtest/reconnect.py", "--clients", "60"]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["clients"], found["replayed"], found["reset"], found["lost"]) == (60, 60, 0, 0)
    assert found["heard_s"]["max"] < 120
