"""The door of the process: `python -m parley_gateway`."""

from __future__ import annotations

import os

from parley_gateway.app import build
from parley_gateway.settings import Settings
from parley_mesh.runner import run
from parley_mesh.settings import MeshSettings, explain, load, variable
from parley_proto.errors import SettingsError


def main() -> None:
    _listen_where_asked()
    run("gateway", Settings, build)


def _listen_where_asked() -> None:
    """The gateway's own host and port, unless those of the runner's HTTP server are set."""
    try:
        settings, http = load(Settings, "gateway"), explain(MeshSettings, "mesh")
    except SettingsError:
        # `run` reads them again and says what is wrong.
        return
    if http["health_port"].origin == "default":
        os.environ[variable("mesh", "health_host")] = settings.host
        os.environ[variable("mesh", "health_port")] = str(settings.port)


if __name__ == "__main__":
    main()
