"""A real PostgreSQL for a test: its own cluster, a free port, the settings of `make up` but for syncing to the disk."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil

from parley_cli.supervise import postgres
from parley_testkit.ports import free_port
from parley_testkit.processes import kill_family

PASSWORD = "test"
_READY_S = 60.0


class Postgres:
    """`async with Postgres(["archiver"]) as server`: a cluster with a database and these roles."""

    def __init__(self, roles: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parley-postgres-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.cluster = postgres.Cluster(self.folder / "data", "127.0.0.1", free_port(), PASSWORD)
        self._roles = [postgres.Role(role, PASSWORD) for role in roles]
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Postgres:
        await asyncio.to_thread(postgres.prepare, self.cluster)
        await self.start()
        await postgres.provide(self.cluster, self._roles)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)
        self._folder.cleanup()

    async def start(self) -> None:
        """Also again after `kill` or `stop`: the same data on the same port. TimeoutError when it does not answer."""
        self._launch()
        async with asyncio.timeout(_READY_S):
            while await postgres.answers(self.cluster):
                await asyncio.sleep(0.05)

    def _launch(self) -> None:
        # What a killed process has written is there without a sync, which would wait for all that this machine writes.
        whom, command = postgres.as_user(postgres.system_user()), [*postgres.argv(self.cluster), "-c", "fsync=off"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, **whom, stdout=log, stderr=log, cwd="/")

    def stop(self) -> None:
        """An immediate shutdown: what was committed is there after the next start."""
        if self._process:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """End all of its processes at once, as a crash of the machine would."""
        if self._process:
            kill_family(psutil.Process(self._process.pid))
            self._process.wait(30)
            self._process = None

    def url(self, role: str = postgres.SUPERUSER) -> str:
        """Where `role` signs in; the superuser when none is named."""
        return self.cluster.url(role, PASSWORD)

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")
