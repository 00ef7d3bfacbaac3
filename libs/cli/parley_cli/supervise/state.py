"""What the supervisor writes down while it runs, so that other commands and its successor find everything."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.supervise.home import Home, write_private
from parley_proto.subjects import SHARDS


class ChildState(msgspec.Struct):
    """One child. `born` with `pid` tells it from a later process with the same number.

    `given_up` says why it is not started again by itself.
    """

    service: str
    pid: int
    born: float
    port: int
    host: str = "127.0.0.1"
    restarts: int = 0
    since: float = 0.0
    given_up: str = ""


class State(msgspec.Struct):
    """The supervisor's own pid and phase (starting, ready, stopping), the ports kept, the children.

    `scrubbed` says what the last comparison of the nodes found.
    """

    pid: int
    born: float
    started: float
    phase: str = "starting"
    urls: list[str] = []
    nats_url: str = ""
    scrubbed: str = ""
    shards: int = SHARDS
    host: str = "127.0.0.1"
    ports: dict[str, int] = {}
    children: dict[str, ChildState] = {}

    @property
    def url(self) -> str:
        """The first gateway's address; empty where there is none."""
        return self.urls[0] if self.urls else ""


def read(home: Home) -> State | None:
    """The last state written, whether or not that mesh still runs; None when there is none that can be read."""
    try:
        return msgspec.json.decode(home.state.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None


def running(home: Home) -> State | None:
    """The state of the mesh that runs here; None when none does."""
    state = read(home)
    return state if state and is_alive(state.pid, state.born) else None


def write(home: Home, state: State) -> None:
    write_private(home.state, msgspec.json.format(msgspec.json.encode(state)))


def birth(pid: int) -> float:
    """When process `pid` began, in a unit that a changed clock does not move where there is one; 0 when it is gone.

    Linux counts ticks since boot (proc(5), field 22); elsewhere seconds since 1970.
    """
    try:
        if sys.platform == "linux":
            fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
            return 0.0 if fields[0] in ("Z", "X") else float(fields[19])
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (OSError, psutil.Error):
        return 0.0


def is_alive(pid: int, born: float) -> bool:
    return pid > 0 and born > 0 and birth(pid) == born


def end_left_over(state: State | None, patience_s: float = 5.0) -> list[str]:
    """End children of an earlier supervisor that were not its to take along; the names of those found."""
    left = {name: child for name, child in (state.children if state else {}).items() if is_alive(child.pid, child.born)}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for child in left.values():
            if is_alive(child.pid, child.born):
                os.kill(child.pid, number)
        for child in left.values():
            _wait_gone(child, patience_s)
    return sorted(left)


def _wait_gone(child: ChildState, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while is_alive(child.pid, child.born) and time.monotonic() < deadline:
        time.sleep(0.02)


@contextmanager
def held_lock(home: Home) -> Iterator[None]:
    """Hold the folder's lock; CommandError names the pid and the address of the mesh that has it."""
    with home.lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(_taken(home), EXIT_USAGE) from error
        yield


def is_locked(home: Home) -> bool:
    """True while a supervisor lives in this folder."""
    try:
        with home.lock.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _taken(home: Home) -> str:
    state = running(home)
    if state is None:
        return f"Parley is being started or stopped in {home.root} just now; try again in a moment."
    where = f" at {state.url}" if state.url else ""
    return f"Parley already runs here{where} (pid {state.pid}); stop it with `parley down`."
