"""What the Python peers share: their command line, the load, and the figures. Standard library and psutil only.

The load is closed: `concurrency` conversations are under way at any time, each waits for its reply before it goes on.
It runs in the peer's own processes, `processes` of them, so that what it costs is counted for every peer alike.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import math
import multiprocessing
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol

import psutil
import uvloop
from peer_work import REPLY, TURNS_EACH, Kept, conversations, is_whole

Turn = Callable[[str, int], Awaitable[str]]
WARM_UP = 40
LOOKED_AT = 25


@dataclass(frozen=True)
class Options:
    """The command line. `folder` is where a peer keeps files; `database_pid` is counted with the peer's own CPU."""

    turns: int
    concurrency: int
    processes: int
    database_url: str
    database_pid: int
    folder: str
    mode: str


class Peer(Protocol):
    """One process's side of a peer, open as an asynchronous context."""

    async def __aenter__(self) -> Peer: ...

    async def __aexit__(self, *error: object) -> None: ...

    def turn(self, slot: int) -> Turn:
        """The turn as the `slot`-th of the conversations that are under way takes it."""
        ...

    async def kept(self, conversation: str) -> Kept | None:
        """What is durable of a conversation."""
        ...


Make = Callable[[Options], Peer]


def options(description: str) -> Options:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--database-url", default="")
    parser.add_argument("--database-pid", type=int, default=0)
    parser.add_argument("--folder", default=".")
    parser.add_argument("--mode", default="")
    return Options(**vars(parser.parse_args()))


def race(chosen: Options, make: Make, *, durable: bool = True) -> None:
    """Run the load and print one JSON line. `make` is a function of a module: each process calls it for itself."""
    run = uuid.uuid4().hex[:12]
    names = conversations(run, chosen.turns)
    with _runners(chosen, make, names) as runners:
        for runner in runners:
            runner.recv()
        cpu, began = _cpu(chosen), time.perf_counter()
        for runner in runners:
            runner.send("go")
        took = [seconds for runner in runners for seconds in runner.recv()]
        lasted = time.perf_counter() - began
        spent = {name: value - cpu[name] for name, value in _cpu(chosen).items()}
        for runner in runners:
            runner.send("end")
    recovered = uvloop.run(_recovered(chosen, make, names)) if durable else None
    print(json.dumps(figures(took, lasted, spent) | {"recovered": recovered}))


def figures(took: Sequence[float], lasted: float, spent: dict[str, float]) -> dict[str, float | int | dict[str, float]]:
    """`took` and `lasted` in seconds, `spent` in seconds of CPU."""
    turns = len(took)
    return {
        "turns": turns,
        "seconds": round(lasted, 3),
        "turns_per_s": round(turns / lasted, 1),
        "p50_ms": round(1000 * percentile(took, 0.5), 3),
        "p95_ms": round(1000 * percentile(took, 0.95), 3),
        "cpu_ms": {name: round(1000 * seconds / turns, 3) for name, seconds in spent.items()},
    }


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@contextlib.contextmanager
def _runners(chosen: Options, make: Make, names: Sequence[str]) -> Iterator[list[Connection]]:
    """A process with its share of the conversations each; they wait for "go", and for "end" once they are through."""
    context = multiprocessing.get_context("spawn")
    runners, processes = [], []
    for number in range(chosen.processes):
        ours, theirs = context.Pipe()
        share = names[number :: chosen.processes]
        processes.append(context.Process(target=_runner, args=(theirs, chosen, make, share), daemon=True))
        processes[-1].start()
        theirs.close()
        runners.append(ours)
    yield runners
    for process in processes:
        process.join(30)


def _runner(pipe: Connection, chosen: Options, make: Make, names: Sequence[str]) -> None:
    uvloop.run(_run(pipe, chosen, make, names))


async def _run(pipe: Connection, chosen: Options, make: Make, names: Sequence[str]) -> None:
    at_once = max(1, chosen.concurrency // chosen.processes)
    async with make(chosen) as peer:
        await _converse(peer, conversations(f"warm-{uuid.uuid4().hex[:8]}", WARM_UP), at_once)
        gc.collect()
        gc.freeze()
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        pipe.send(await _converse(peer, names, at_once))
        await asyncio.to_thread(pipe.recv)


async def _converse(peer: Peer, names: Sequence[str], at_once: int) -> list[float]:
    """Have all conversations, `at_once` at a time; the seconds that each turn took."""
    waiting, took = iter(names), list[float]()

    async def one_after_the_other(turn: Turn) -> None:
        for name in waiting:
            for number in range(1, TURNS_EACH + 1):
                began = time.perf_counter()
                said = await turn(name, number)
                took.append(time.perf_counter() - began)
                if said != REPLY:
                    raise ValueError(f"{name} was answered {said!r}.")

    async with asyncio.TaskGroup() as group:
        for slot in range(at_once):
            group.create_task(one_after_the_other(peer.turn(slot)))
    return took


async def _recovered(chosen: Options, make: Make, names: Sequence[str]) -> bool:
    """Whether a peer that starts anew finds the whole state of some of the conversations."""
    async with make(chosen) as peer:
        some = names[:: max(1, len(names) // LOOKED_AT)]
        return all([is_whole(name, await peer.kept(name)) for name in some])


def _cpu(chosen: Options) -> dict[str, float]:
    found = {"peer": _tree(psutil.Process())}
    return found | ({"database": _tree(psutil.Process(chosen.database_pid))} if chosen.database_pid else {})


def _tree(root: psutil.Process) -> float:
    """Seconds of CPU of a process, of its children, and of those children of it that have ended."""
    spent = float(sum(root.cpu_times()[:4]))
    for child in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent += sum(child.cpu_times()[:2])
    return spent
