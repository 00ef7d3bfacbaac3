"""A real nats-server for a test: its own store, a free port, the users and permissions that `make up` gives."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from nats.aio.client import Client

from parley_cli.supervise.nats import NatsConfig, argv, render
from parley_mesh.connection import connect
from parley_mesh.identities import OPERATOR, SERVICES
from parley_mesh.settings import MeshSettings
from parley_proto.subjects import SHARDS
from parley_testkit.ports import free_port

PASSWORD = "test"
SPECIALTIES = ("billing", "technical", "account", "returns", "escalation")


class NatsServer:
    """`async with NatsServer() as server`: started on entry, stopped with its clients on exit."""

    def __init__(self, *, max_file_store: str = "2GB", specialties: Sequence[str] = SPECIALTIES) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parley-nats-")
        self.folder = Path(self._folder.name)
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._clients: list[Client] = []
        self._process: subprocess.Popen[bytes] | None = None
        users = [OPERATOR, *SERVICES, *specialties]
        passwords = dict.fromkeys(users, PASSWORD)
        config = NatsConfig(
            "127.0.0.1",
            self.port,
            free_port(),
            self.folder / "store",
            passwords,
            specialties,
            SHARDS,
            max_file_store,
        )
        (self.folder / "nats.conf").write_bytes(render(config))

    async def __aenter__(self) -> NatsServer:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        for client in self._clients:
            # A client may wait for a server that the test has killed; its process ends with the test anyway.
            await asyncio.wait([asyncio.create_task(client.close())], timeout=3)
        self._folder.cleanup()

    def start(self) -> None:
        """Also again after `kill`: the same store on the same port."""
        with (self.folder / "nats.log").open("ab") as log:
            self._process = subprocess.Popen(argv(self.folder / "nats.conf"), stderr=log, stdout=log)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def log(self) -> str:
        return (self.folder / "nats.log").read_text("utf-8", "replace")

    def settings(self, user: str = OPERATOR) -> MeshSettings:
        return MeshSettings(nats_url=self.url, nats_user=user, nats_password=PASSWORD)

    async def connect(self, user: str = OPERATOR) -> Client:
        """A connection as `user`; closed with the server."""
        client = await connect(self.settings(user), user)
        self._clients.append(client)
        await asyncio.wait_for(client.flush(), 5)
        return client
