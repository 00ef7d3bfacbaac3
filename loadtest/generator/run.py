"""A run from its mesh to its page."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from generator import audit, known, mesh, page, report
from generator.gauges import Gauges, Sample
from generator.options import BURST_FACTOR, BURST_S, Options
from generator.processes import GENERATOR, PROVIDER, Use, machine
from generator.schedule import Burst
from generator.tally import Rest, Tick, joined
from generator.workers import Workers
from parley_cli.operator import connected
from parley_proto.envelope import now_ms
from parley_testkit.mesh import RunningMesh

_SOON_S = 1.0
_LIVE_S = 5.0
_SETTLE_S, _IDLE_S = 3.0, 5.0


def measure(options: Options) -> dict[str, Any]:
    """Start provider and mesh, let everybody talk, stop them; the figures, which stand in `options.out` too."""
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    with mesh.provider(options) as (url, pid):
        _say("starting a mesh …")
        with mesh.mesh(options, url) as running:
            ticks, rests, gauges, places = uvloop.run(_talk(running, options, pid))
    found = report.figures(options, ticks, rests, gauges.samples, _measured(options, ticks, gauges) | places)
    write(options, found, ticks, gauges.samples)
    return found


def write(options: Options, found: Mapping[str, Any], ticks: list[Tick], samples: list[Sample]) -> None:
    """latest.json and latest.html."""
    out = Path(options.out)
    (out / "latest.json").write_bytes(msgspec.json.encode(found) + b"\n")
    (out / "latest.html").write_text(page.page(found, ticks, samples, about(options)), "utf-8")


def about(options: Options) -> dict[str, str]:
    """The machine, the commit and the settings of a run."""
    settings = {name: value for name, value in msgspec.to_builtins(options).items() if name != "out" and value}
    shown = ", ".join(f"{name} {value}" for name, value in settings.items())
    return machine() | {"python": _python(), "commit": commit(), "settings": shown}


def commit() -> str:
    """The commit that is measured; `-dirty` where files differ from it."""
    git = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        return subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _python() -> str:
    """The interpreter, and whether its build was optimised: that is worth a tenth to a fifth of its time."""
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return f"{sys.version.split()[0]}{'' if optimised else ', built without optimisations'}"


async def _talk(
    running: RunningMesh, options: Options, provider_pid: int
) -> tuple[list[Tick], list[Rest], Gauges, dict[str, Any]]:
    burst = _burst(options)
    told: list[Tick] = []
    async with connected(running.operator()) as client:
        places = await known.seed(client, options.known, options.history_kb)
        async with Workers(running.url, options, burst, places) as workers:
            before = running.state
            idle, idle_percent = await _idle(Gauges(before, client, {}))
            _say(f"connected: {await workers.start()}")
            others = dict.fromkeys([*workers.pids, os.getpid()], GENERATOR) | {provider_pid: PROVIDER}
            gauges = Gauges(before, client, others)
            open_rss = gauges.use()
            began, since_ms = time.monotonic() + _SOON_S, now_ms()
            await gauges.start(began)
            live = asyncio.create_task(_live(options, told, gauges))
            try:
                rests = await workers.run(began, told.extend)
            finally:
                live.cancel()
            await gauges.stop()
        _say("reading the log …")
        log = await audit.audit(client, since_ms)
    memory = {"rss_mb_before": _rounded(idle), "rss_mb_connected": _rounded(open_rss)}
    restarts = {name: child.restarts for name, child in running.state.children.items() if child.restarts}
    return joined(told), rests, gauges, memory | {"idle_cpu_percent": idle_percent, "restarts": restarts, "log": log}


async def _idle(gauges: Gauges) -> tuple[dict[str, Use], dict[str, float]]:
    """What the mesh holds and does while nobody talks, when what has just started has had time to settle."""
    await asyncio.sleep(_SETTLE_S)
    before, at = gauges.use(), time.monotonic()
    await asyncio.sleep(_IDLE_S)
    after, seconds = gauges.use(), time.monotonic() - at
    spent = {name: 100 * (use.cpu_s - before[name].cpu_s) / seconds for name, use in after.items() if name in before}
    return after, {name: round(percent, 1) for name, percent in sorted(spent.items())} | {
        "everything": round(sum(spent.values()), 1)
    }


def _measured(options: Options, ticks: list[Tick], gauges: Gauges) -> dict[str, Any]:
    found: dict[str, Any] = {"loop_lag_ms_p99": gauges.lag_ms(), "caches": gauges.caches(), "states": gauges.states()}
    burst = _burst(options)
    if burst:
        found["burst"] = report.burst_of(ticks, burst)
    if options.profile == "soak":
        found["rss_drift_percent"] = report.drift_percent([one for one in gauges.samples if one.at >= options.warmup])
    return found


def _burst(options: Options) -> Burst | None:
    """In the middle, and no longer than a fifth of the run."""
    if options.profile != "burst":
        return None
    seconds = min(BURST_S, options.seconds / 5)
    start = (options.seconds - seconds) / 2
    return Burst(start, start + seconds, BURST_FACTOR)


async def _live(options: Options, told: list[Tick], gauges: Gauges) -> None:
    """A line every few seconds, of the last second that is whole."""
    while True:
        await asyncio.sleep(_LIVE_S)
        seconds = joined(told)
        if len(seconds) > 1:
            _say(report.live_line(options, seconds[-2], _shares(gauges.samples)))


def _shares(samples: list[Sample]) -> dict[str, float]:
    """The percentage of a core that each service took between the last two looks."""
    if len(samples) < 2:
        return {}
    before, after = samples[-2:]
    seconds = max(after.at - before.at, 0.1)
    return {
        name: 100 * (use.cpu_s - before.use[name].cpu_s) / seconds
        for name, use in after.use.items()
        if name in before.use
    }


def _rounded(use: Mapping[str, Any]) -> dict[str, float]:
    return {name: round(one.rss_mb, 1) for name, one in sorted(use.items())}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
