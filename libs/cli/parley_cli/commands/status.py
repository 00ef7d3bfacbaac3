"""`parley status`: what runs, whether it is ready, what it is doing, what waits for it."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

import msgspec

from parley_cli.errors import CommandError, NotRunningError
from parley_cli.operator import connected, identity
from parley_cli.supervise import nodes, plan, postgres, probe, secrets, state
from parley_cli.supervise.home import Home
from parley_cli.supervise.services import OFF_THE_MESH
from parley_cli.supervise.state import State
from parley_cli.survey import Survey, survey
from parley_cli.table import print_table

# They are no part of the mesh, so they do not answer on it.
_SILENT = {"nats", "postgres", *OFF_THE_MESH}


class Row(msgspec.Struct):
    """One instance. `pending` is what waits in the log for its service; None where that is not known."""

    name: str
    service: str
    version: str
    pid: int
    uptime_s: float
    restarts: int
    ready: bool
    reason: str
    in_flight: int | None
    pending: int | None
    stats: dict[str, Any]


def run(args: argparse.Namespace) -> int:
    """Print a line an instance; exit code 1 when one of them is not ready."""
    home = Home.at(args.data)
    found = state.running(home)
    if found is None:
        raise NotRunningError
    rows = asyncio.run(_rows(home, found))
    if args.json:
        whole = {"phase": found.phase, "pid": found.pid, "url": found.url, "urls": found.urls} | {
            "scrubbed": found.scrubbed,
            "instances": rows,
        }
        print(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode())
    else:
        print(f"Parley is {found.phase} at {' and '.join(found.urls) or found.nats_url} (pid {found.pid}).")
        if found.scrubbed:
            print(found.scrubbed)
        print_table(_COLUMNS, [_cells(row) for row in rows])
    return 0 if all(row.ready for row in rows) else 1


_COLUMNS = ("instance", "version", "pid", "up", "restarts", "in flight", "pending", "ready")


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        row.version or "-",
        str(row.pid) if row.pid else "-",
        _span(row.uptime_s),
        str(row.restarts),
        "-" if row.in_flight is None else str(row.in_flight),
        "-" if row.pending is None else str(row.pending),
        "yes" if row.ready else row.reason,
    ]


async def _rows(home: Home, found: State) -> list[Row]:
    reasons = asyncio.gather(*(_reason(home, found, name) for name in found.children))
    seen, answers = await asyncio.gather(_survey(home, found), reasons)
    return [_row(found, seen, name, reason) for name, reason in zip(found.children, answers, strict=True)]


def _row(found: State, seen: Survey, name: str, reason: str) -> Row:
    child = found.children[name]
    alive = state.is_alive(child.pid, child.born)
    told = seen.stats.get(name, {})
    stats = {key: value for key, value in told.items() if key not in ("service", "instance", "version")}
    return Row(
        name=name,
        service=child.service,
        version=str(told.get("version", "")),
        pid=child.pid if alive else 0,
        uptime_s=round(time.time() - child.since, 1) if alive else 0.0,
        restarts=child.restarts,
        ready=alive and not reason,
        reason=reason if alive else child.given_up or "It has ended and is about to be started again.",
        in_flight=stats.get("in_flight", seen.in_flight.get(child.service)),
        pending=seen.pending.get(child.service),
        stats=stats,
    )


async def _reason(home: Home, found: State, name: str) -> str:
    child = found.children[name]
    if child.service == plan.NATS:
        return await probe.http_reason(found.host, found.ports[nodes.monitor_of(name)], "/healthz")
    if name == plan.POSTGRES:
        password = secrets.load(home).postgres_password(postgres.SUPERUSER)
        try:
            return await postgres.answers(postgres.Cluster(home.postgres, found.host, child.port, password))
        except CommandError as error:
            return error.message
    return await probe.http_reason(child.host, child.port, "/readyz")


async def _survey(home: Home, found: State) -> Survey:
    """What NATS knows; nothing while NATS itself is away, which its own line says."""
    asked = [child.service for child in found.children.values() if child.service not in _SILENT]
    try:
        async with connected(identity(home)) as client:
            return await survey(client, sorted(set(asked)), len(asked))
    except CommandError:
        return Survey({}, {}, {})


def _span(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes = int(seconds) // 60
    return f"{minutes}m" if minutes < 120 else f"{minutes // 60}h{minutes % 60:02}m"
