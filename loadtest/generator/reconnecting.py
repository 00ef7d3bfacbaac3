"""The profile `reconnect`: loadtest/reconnect.py, with its figures under the names that all profiles share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import reconnect
import uvloop

from generator import run
from generator.options import Options
from parley_testkit.mesh import RunningMesh


def measure(options: Options) -> dict[str, Any]:
    """Kill the gateway under all clients. What each missed meanwhile counts as accepted, and as answered when it has
    come; `overhead_ms` is from letting them go to that, and reconnect.py tells no p95."""
    Path(options.out).mkdir(parents=True, exist_ok=True)
    with RunningMesh(replicas=options.replicas, nodes=options.nodes, environ=environ(options)) as mesh:
        found = uvloop.run(reconnect.measure(mesh, options.conversations, options.workers))
    shown = figures(options, found)
    run.write(options, shown, [], [])
    return shown


def environ(options: Options) -> dict[str, str]:
    sockets = str(max(6_000, options.conversations + 1_000))
    return reconnect.ENVIRON | {"PARLEY_GATEWAY_MAX_SOCKETS": sockets} | options.environ


def figures(options: Options, found: dict[str, Any]) -> dict[str, Any]:
    heard_s = found["heard_s"]
    back = found["clients"] - found["lost"]
    return {
        "profile": options.profile,
        "seconds": heard_s.get("max", 0.0),
        "conversations": found["clients"],
        "turns_per_s": round(back / heard_s["max"], 1) if heard_s.get("max") else 0.0,
        "accepted": found["clients"],
        "answered": back,
        "lost": found["lost"],
        "duplicated": 0,
        "refused": 0,
        "errors": found["reset"],
        "overhead_ms": _ms(heard_s),
        "first_token_ms": _ms(found["welcomed_s"]),
        "cpu_ms_per_turn": {"total": round(1000 * found["gateway_cpu_s"] / max(1, found["clients"]), 3)},
        "rss_mb": {"gateway": found["gateway_rss_mb"]},
        "loop_lag_ms_p99": {},
        "reconnect": found,
    }


def _ms(seconds: dict[str, float]) -> dict[str, float | None]:
    return {name: 1000 * seconds[name] if name in seconds else None for name in ("p50", "p95", "p99")}
