"""Asking every node what it holds, until all hold the same or have had their time to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from parley_cli.supervise import probe, replicas
from parley_cli.supervise.replicas import Finding

# A follower hears of the last commit with the leader's next heartbeat, a second later (raft in nats-server).
PATIENCE_S = 15.0
_STEADY_S = 3.0
_BETWEEN_S = 0.4
_ASKED = "/jsz?accounts=true&streams=true"

Monitors = Mapping[str, tuple[str, int]]


async def compare(monitors: Monitors, patience_s: float = PATIENCE_S) -> list[Finding]:
    """What was found of each stream that has copies; one that lags has `patience_s` to catch up."""
    began = steady = time.monotonic()
    looks = [await _look(monitors)]
    before: list[Finding] = []
    while True:
        await asyncio.sleep(_BETWEEN_S)
        looks = [*looks[-2:], await _look(monitors)]
        found = _judged(looks)
        now = time.monotonic()
        if replicas.verdicts(found) != replicas.verdicts(before):
            before, steady = found, now
        if len(looks) == 3 and (now - began > patience_s or replicas.is_final(found, now - steady > _STEADY_S)):
            return found


def _judged(looks: Sequence[Mapping[str, replicas.Copies]]) -> list[Finding]:
    streams = [stream for stream in looks[-1] if all(stream in look for look in looks)]
    return [replicas.judge(stream, [look[stream] for look in looks]) for stream in streams] if len(looks) == 3 else []


async def _look(monitors: Monitors) -> dict[str, dict[str, replicas.Copy | None]]:
    answers: list[Any] = await asyncio.gather(
        *(probe.http_json(host, port, _ASKED) for host, port in monitors.values())
    )
    return replicas.merge(dict(zip(monitors, answers, strict=True)))
