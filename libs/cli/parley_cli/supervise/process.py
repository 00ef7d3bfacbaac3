"""One child process: started so that it can't outlive its supervisor, its output in a file of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from parley_cli.supervise.state import birth

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 16_384


class Launch(msgspec.Struct, frozen=True):
    """How to start a child. `stop` asks it to end, `orphaned` reaches it when the supervisor is killed (Linux)."""

    argv: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    user: str | None = None
    stop: int = signal.SIGTERM
    orphaned: int = signal.SIGKILL


class Process:
    """A started child."""

    def __init__(self, process: asyncio.subprocess.Process, launch: Launch) -> None:
        self._process = process
        self._launch = launch
        self.pid = process.pid
        self.born = birth(process.pid)

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    async def wait(self) -> int:
        return await self._process.wait()

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def stop(self, patience_s: float) -> None:
        """Ask the child to end and wait; kill it when its patience is over."""
        self.signal(self._launch.stop)
        try:
            await asyncio.wait_for(self._process.wait(), patience_s)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self._process.wait()


async def start(launch: Launch) -> Process:
    """Start the child in a session of its own, so that Ctrl-C reaches it only through the supervisor."""
    with launch.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *launch.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(launch.environ),
            user=launch.user,
            group=launch.user,
            extra_groups=[] if launch.user else None,
            start_new_session=True,
            preexec_fn=_bound_to(os.getpid(), launch.orphaned),
        )
    return Process(process, launch)


def rotate(log: Path, most_bytes: int) -> None:
    """Move a log that has grown past `most_bytes` aside, in place of the one moved before."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > most_bytes:
            log.replace(log.with_name(f"{log.name}.1"))


def said_last(log: Path) -> str:
    """The last thing that a child wrote, at most 500 characters: of a JSON line the event and its reason."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((_in_words(line.strip())[:500] for line in reversed(lines) if line.strip()), "")


def _in_words(line: str) -> str:
    try:
        content = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line
    if not isinstance(content, dict) or "event" not in content:
        return line
    stack = str(content.get("stack", "")).strip().split("\n")[-1]
    return ": ".join(str(part) for part in (content["event"], content.get("reason") or stack) if part)


def _bound_to(supervisor: int, number: int) -> Callable[[], None] | None:
    """Run in the child before its program: PR_SET_PDEATHSIG (prctl(2)), for Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != supervisor:
            os._exit(1)

    return bind
