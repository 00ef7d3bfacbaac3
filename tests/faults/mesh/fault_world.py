"""A mesh that faults strike: which process is whose, and when everything is well again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import msgspec

from parley_cli.operator import connected
from parley_proto import subjects
from parley_testkit.bench import until
from parley_testkit.mesh import CommandFailed, RunningMesh

WELL_S = 90.0
UNLIMITED = {
    "PARLEY_UP_RESTARTS": "1000",
    "PARLEY_UP_READY_S": "400",
    "PARLEY_GATEWAY_MESSAGES_PER_MINUTE": "6000",
}


class World:
    """`random` decides whom a fault strikes, so that a seed tells the whole schedule."""

    def __init__(self, mesh: RunningMesh, random: Random) -> None:
        self.mesh = mesh
        self.random = random

    def one_of(self, service: str) -> str:
        """An instance of a service."""
        return self.random.choice(sorted(self.mesh.instances(service)))

    async def kill(self, *instances: str) -> None:
        """SIGKILL, and wait until the supervisor has started others in their place."""
        pids = {instance: self.mesh.kill(instance) for instance in instances}
        await until(lambda: all(self.mesh.pid(one) != pid for one, pid in pids.items()), WELL_S)

    @contextmanager
    def paused(self, *instances: str) -> Iterator[None]:
        """Stopped as by a debugger, a hypervisor or a very long garbage collection."""
        pids = [self.mesh.pid(instance) for instance in instances]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                # One that was started anew meanwhile needs no waking.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def command(self, *arguments: str) -> str:
        return await asyncio.to_thread(self.mesh.cli, *arguments, timeout=180.0)

    async def well(self) -> None:
        """Return when every instance is ready; CommandFailed with the table otherwise."""
        await asyncio.to_thread(self.mesh.wait_ready, WELL_S)

    async def leader(self) -> str:
        """The node that leads the log."""
        async with connected(self.mesh.operator()) as client:
            reply = await client.request(f"$JS.API.STREAM.INFO.{subjects.STREAM}", b"", timeout=5)
        found: str = msgspec.json.decode(reply.data)["cluster"]["leader"]
        if found not in self.mesh.instances("nats"):
            raise CommandFailed(f"The log is led by {found!r}, which is none of {self.mesh.instances('nats')}.")
        return found

    async def followers(self) -> list[str]:
        leader = await self.leader()
        return sorted(set(self.mesh.instances("nats")) - {leader})
