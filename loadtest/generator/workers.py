"""The processes of customers, by the lines that they read and write."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from generator.crowd import Orders, Place
from generator.options import Options
from generator.schedule import Burst
from generator.tally import Rest, Tick

_DOOR = Path(__file__).parents[1] / "load.py"
_LONGEST_LINE = 1 << 26
_LEAVE_S = 30.0
_ticks = msgspec.json.Decoder(list[Tick] | Rest)


class WorkerLostError(Exception):
    """A process of customers has ended before its time."""


class Workers:
    """`async with Workers(...)`: connected after `start`, then `run`."""

    def __init__(self, url: str, options: Options, burst: Burst | None, places: Sequence[Place]) -> None:
        step = options.workers
        shares = [list(places[number::step]) for number in range(step)]
        self._orders = [Orders(url, options, n, step, burst, share) for n, share in enumerate(shares)]
        self._processes: list[asyncio.subprocess.Process] = []

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    async def __aenter__(self) -> Workers:
        return self

    async def __aexit__(self, _kind: object, error: object, _trace: object) -> None:
        for process in self._processes:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _LEAVE_S if error is None else 0.1)
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def start(self) -> int:
        """How many customers are connected, all of them."""
        pipe = asyncio.subprocess.PIPE
        for orders in self._orders:
            command = (sys.executable, str(_DOOR), "--crowd")
            process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=_LONGEST_LINE)
            self._processes.append(process)
            await _write(process, orders)
        return sum([msgspec.json.decode(await _read(process), type=int) for process in self._processes])

    async def run(self, began: float, hear: Callable[[list[Tick]], None]) -> list[Rest]:
        """Let them talk from the moment `began` on; `hear` gets the seconds as they are counted."""
        for process in self._processes:
            await _write(process, began)
        return list(await asyncio.gather(*(self._follow(process, hear) for process in self._processes)))

    async def _follow(self, process: asyncio.subprocess.Process, hear: Callable[[list[Tick]], None]) -> Rest:
        while True:
            told: list[Tick] | Rest = _ticks.decode(await _read(process))
            if isinstance(told, Rest):
                return told
            hear(told)


async def _write(process: asyncio.subprocess.Process, what: Any) -> None:
    assert process.stdin
    process.stdin.write(msgspec.json.encode(what) + b"\n")
    await process.stdin.drain()


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout
    line = await process.stdout.readline()
    if not line:
        raise WorkerLostError("A process of customers has ended; what it said stands above.")
    return line
