"""Processor time and memory of a mesh by service: each child of its supervisor with all that it has started."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import psutil

GENERATOR, PROVIDER, SUPERVISOR = "generator", "provider", "supervisor"


class Row(NamedTuple):
    """A process as the system shows it: seconds of processor time so far, resident bytes, and which it may share."""

    pid: int
    parent: int
    cpu_s: float
    rss: int
    shared: int = 0


class Use(msgspec.Struct):
    """What one service has used; `pids` are its processes, and what these share is counted once."""

    cpu_s: float = 0.0
    rss_mb: float = 0.0
    pids: int = 0


def seen() -> list[Row]:
    """Every process that may be looked at, in one pass over the system's list."""
    rows = []
    for process in psutil.process_iter(["ppid", "cpu_times", "memory_info"]):
        found = process.info
        if found["cpu_times"] and found["memory_info"]:
            cpu_s = found["cpu_times"].user + found["cpu_times"].system
            memory = found["memory_info"]
            rows.append(Row(process.pid, found["ppid"] or 0, cpu_s, memory.rss, getattr(memory, "shared", 0)))
    return rows


class Meter:
    """Adds up by service: each process counts for the nearest of `roots` above it, or for nobody. Pure.

    What a process that has ended had used by the last look stays counted: pools shrink.
    """

    def __init__(self, roots: Mapping[int, str]) -> None:
        self._roots = dict(roots)
        self._last: dict[int, tuple[str, float]] = {}
        self._ended: dict[str, float] = {}

    def read(self, rows: Iterable[Row]) -> dict[str, Use]:
        """What each service has used so far."""
        known = {row.pid: row for row in rows}
        named = {pid: name for pid in known if (name := self._name(pid, known))}
        for pid, (name, spent) in self._last.items():
            if pid not in named:
                self._ended[name] = self._ended.get(name, 0.0) + spent
        self._last = {pid: (name, known[pid].cpu_s) for pid, name in named.items()}
        found: dict[str, Use] = {}
        shared: dict[str, int] = {}
        for pid, name in named.items():
            row, use = known[pid], found.setdefault(name, Use(self._ended.get(name, 0.0)))
            shared[name] = max(shared.get(name, 0), row.shared)
            use.cpu_s += row.cpu_s
            use.rss_mb += (row.rss - row.shared) / 1e6
            use.pids += 1
        for name, use in found.items():
            use.rss_mb += shared[name] / 1e6
        return found

    def _name(self, pid: int, known: Mapping[int, Row]) -> str:
        while pid not in self._roots and pid in known and known[pid].parent != pid:
            pid = known[pid].parent
        return self._roots.get(pid, "")


def machine() -> dict[str, str]:
    """What it was measured on."""
    cpu = next((line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    memory = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    return {"processors": f"{os.cpu_count()} × {cpu}", "memory": memory, "system": " ".join(os.uname()[::2])}


def _cpuinfo() -> list[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError:
        return []
