"""How many conversations the whole mesh holds, how fast, and at what cost.

.venv/bin/python loadtest/load.py --profile steady --conversations 5000 --seconds 600
Starts a mesh of its own and a model provider, lets customers talk over real WebSockets and stops both. What is sent
follows a schedule, however slow the answers are; times count from when a message was due. Profiles: steady; burst (ten
times as much for 30 s in the middle); reconnect (all come back at once after the gateway was killed); soak (half an
hour, after eleven minutes that fill the memory); saturation (everybody speaks again as soon as they are answered);
single (one alone does).

Shows a line every few seconds on stderr and at the end a table; the last line is one JSON object, also written to
loadtest/out/latest.json, and loadtest/out/latest.html has the plots. The exit code is 1 when anything was lost or
repeated.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from generator import crowd, options, reconnecting, report, run
from generator.workers import WorkerLostError

from parley_testkit.mesh import CommandFailed


def main() -> None:
    if sys.argv[1:] == ["--crowd"]:
        crowd.main()
        return
    asked = options.parse(description=__doc__)
    try:
        found: dict[str, Any] = reconnecting.measure(asked) if asked.profile == "reconnect" else run.measure(asked)
    except (CommandFailed, WorkerLostError, OSError) as error:
        sys.exit(f"load.py: {error}")
    print("\n".join(report.table(found)))
    print(msgspec.json.encode(found).decode())
    told, log = found["lost"] + found["duplicated"], found.get("log", {})
    sys.exit(1 if told or log.get("lost") or log.get("duplicated") else 0)


if __name__ == "__main__":
    main()
