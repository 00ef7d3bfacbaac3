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
import psutil

from parley_cli.operator import connected
from parley_proto import subjects
from parley_testkit.bench import until
from parley_testkit.fake_provider import FakeProvider
from parley_testkit.mesh import CommandFailed, RunningMesh

WELL_S = 90.0
UNLIMITED = {
    "PARLEY_UP_RESTARTS": "1000",
    "PARLEY_UP_READY_S": "400",
    "PARLEY_GATEWAY_MESSAGES_PER_MINUTE": "6000",
}


class World:
    """`random` decides whom a fault strikes, so that a seed tells the whole schedule.

    `provider` is the model that the mesh talks to, where a row needs one that can be told to misbehave.
    """

    def __init__(self, mesh: RunningMesh, random: Random) -> None:
        self.mesh = mesh
        self.random = random
        self.provider: FakeProvider | None = None

    def one_of(self, service: str) -> str:
        """An instance of a service."""
        return self.random.choice(sorted(self.mesh.instances(service)))

    async def kill(self, *instances: str) -> None:
        """SIGKILL, and wait until the supervisor has started others in their place."""
        pids = {instance: self.mesh.kill(instance) for instance in instances}
        await until(lambda: all(self.mesh.pid(one) != pid for one, pid in pids.items()), WELL_S)

    @contextmanager
    def paused(self, *instances: str) -> Iterator[None]:
        """Stopped with all their processes, as by a debugger, a hypervisor or a very long garbage collection."""
        pids = [pid for instance in instances for pid in _family(self.mesh.pid(instance))]
        for pid in pids:
            # One of PostgreSQL's may end just now.
            with contextlib.suppress(ProcessLookupError):
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


def _family(pid: int) -> list[int]:
    """A process and all that it has started, itself first, so that it starts no more."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
