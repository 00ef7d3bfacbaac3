"""The mesh of a load test: what it is told beyond its defaults, and the model provider that it asks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from generator.options import Options
from parley_cli.supervise.services import discover
from parley_mesh.settings import variable
from parley_testkit.mesh import RunningMesh

MODEL = "load-model"
# The provider takes what it gets, so that a limit which is still being learned does not stand for the mesh.
_CONFIG = """
[providers.load]
kind = "openai"
base_url = "{url}"
[models.{model}]
provider = "load"
[tiers.fast]
candidates = ["{model}"]
[tiers.standard]
candidates = ["{model}"]
[tiers.deep]
candidates = ["{model}"]
[concurrency]
start = 1000
most = 2000
[timeouts]
first_delta_s = 10
"""
_SPARE_SOCKETS = 1_000
_PLENTY = "100000000"


def environ(options: Options, config: Path) -> dict[str, str]:
    """What one customer or tenant may say in a minute is no matter of load; what is let in when all are busy is."""
    settings = {
        "PARLEY_LLM_GATEWAY_CONFIG": str(config),
        "PARLEY_LLM_GATEWAY_MAX_RUNNING": "4000",
        "PARLEY_GATEWAY_MESSAGES_PER_MINUTE": _PLENTY,
        "PARLEY_GATEWAY_FRAMES_PER_MINUTE": _PLENTY,
        "PARLEY_GATEWAY_TENANT_MESSAGES_PER_MINUTE": _PLENTY,
        "PARLEY_GATEWAY_MAX_SOCKETS": str(max(6_000, options.conversations + _SPARE_SOCKETS)),
        "PARLEY_UP_MAX_FILE_STORE": "60GB",
        "PARLEY_UP_READY_S": "400",
    }
    slots = {variable(one.name, "slots"): str(options.slots) for one in discover() if one.specialist}
    return settings | slots | options.environ


@contextmanager
def provider(options: Options) -> Iterator[tuple[str, int]]:
    """The address and the pid of a model provider in a process of its own."""
    command = [sys.executable, "-m", "parley_testkit.load_provider", "--profile", options.provider]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            yield json.loads(child.stdout.readline())["url"], child.pid
        finally:
            child.terminate()


@contextmanager
def mesh(options: Options, provider_url: str) -> Iterator[RunningMesh]:
    """A mesh of its own in a folder of its own, gone afterwards."""
    config = Path(options.out) / "llm.toml"
    config.write_text(_CONFIG.format(url=provider_url, model=MODEL))
    with RunningMesh(replicas=options.replicas, nodes=options.nodes, environ=environ(options, config)) as running:
        yield running
