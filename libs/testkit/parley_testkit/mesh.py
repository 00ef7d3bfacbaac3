"""A whole mesh for journeys: `parley up --detach` in a folder of its own, with the real services and servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley_cli.operator import identity
from parley_cli.supervise import state
from parley_cli.supervise.home import Home
from parley_mesh.settings import MeshSettings
from parley_testkit import warmth
from parley_testkit.ports import port_base

_UP_S = 480.0
_DOWN_S = 120.0
# Names in the environment the folder in which meshes share what a first start takes long to compute.
SHELF = "MESH_TEST_SHELF"
_OURS = ("PARLEY_", "NATS_", "OPENAI_")


class CommandFailed(AssertionError):
    """A command of `parley` did not end as the test expected; its output is in the message."""


class RunningMesh:
    """One mesh, its log on `nodes` nats-servers (0: as the settings say).

    `environ` is added to an environment from which the settings of whoever runs the tests are taken.

    Used as a context manager; what it wrote stays in `folder` when the block fails.
    """

    def __init__(self, *, replicas: str = "", nodes: int = 0, environ: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="parley-mesh-"))
        self.home = Home(self.folder / "data")
        self._replicas = replicas
        self._nodes = str(nodes or "")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self.environ = outside | {"PARLEY_UP_PORT_BASE": str(port_base())} | dict(environ or {})

    def __enter__(self) -> RunningMesh:
        self.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.end(keep=kind is not None)

    def start(self) -> None:
        """Return when everything is ready; CommandFailed with the supervisor's own sentence otherwise."""
        knowledge = self.home.root / "rag"
        shelf = Path(found) if (found := os.environ.get(SHELF)) else None
        if shelf:
            warmth.lend(shelf, knowledge)
        self.cli("up", "--detach", "--replicas", self._replicas, "--nodes", self._nodes, timeout=_UP_S)
        if shelf:
            warmth.keep(shelf, knowledge)

    def end(self, *, keep: bool = False) -> None:
        """Stop the mesh and remove its folder; `keep` leaves the folder and says where it is."""
        # It may just be ending by itself, so whether there was something to stop does not matter.
        self.run("down", timeout=_DOWN_S)
        if keep:
            print(f"The mesh's logs are in {self.home.logs}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        self.cli("down", timeout=_DOWN_S)

    @property
    def state(self) -> state.State:
        found = state.read(self.home)
        if found is None:
            raise CommandFailed(f"There is no state in {self.home.root}: the mesh was never started.")
        return found

    @property
    def url(self) -> str:
        """The gateway's address."""
        return self.state.url

    def operator(self) -> MeshSettings:
        """Where NATS is, and the identity that may do everything there."""
        return identity(self.home)

    def instances(self, service: str = "") -> list[str]:
        return [name for name, child in self.state.children.items() if service in ("", child.service)]

    def pid(self, instance: str) -> int:
        return self.state.children[instance].pid

    def restarts(self, instance: str) -> int:
        return self.state.children[instance].restarts

    def kill(self, instance: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to one instance; the pid that it had."""
        pid = self.pid(instance)
        os.kill(pid, number)
        return pid

    def wait_restarted(self, instance: str, old_pid: int, within_s: float = 30.0) -> int:
        """The pid of the process that took the place of `old_pid`; CommandFailed when none did."""
        deadline = time.monotonic() + within_s
        while self.pid(instance) == old_pid:
            if time.monotonic() > deadline:
                raise CommandFailed(f"{instance} was not started again within {within_s:g} s.")
            time.sleep(0.01)
        return self.pid(instance)

    def wait_ready(self, within_s: float = 60.0) -> None:
        """Return when `parley status` finds every instance ready; CommandFailed with its table otherwise."""
        deadline = time.monotonic() + within_s
        while (found := self.run("status")).returncode:
            if time.monotonic() > deadline:
                raise CommandFailed(f"The mesh is not ready after {within_s:g} s:\n{found.stdout}{found.stderr}")

    def log(self, instance: str) -> str:
        return self.home.log_of(instance).read_text("utf-8", "replace")

    def run(self, *arguments: str, timeout: float = 60.0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run `parley …` for this mesh, whatever it ends with."""
        command = [sys.executable, "-m", "parley_cli", *arguments, "--data", str(self.home.root)]
        return subprocess.run(
            command,
            env=self.environ,
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def cli(self, *arguments: str, timeout: float = 60.0, stdin: str = "") -> str:
        """What `parley …` printed; CommandFailed when it failed."""
        done = self.run(*arguments, timeout=timeout, stdin=stdin)
        if done.returncode:
            raise CommandFailed(f"parley {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def json(self, *arguments: str, timeout: float = 60.0) -> Any:
        """What `parley … --json` printed, decoded."""
        return json.loads(self.cli(*arguments, "--json", timeout=timeout))
