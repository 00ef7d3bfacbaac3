"""The door of the process: `python -m parley_gateway`."""

from __future__ import annotations

import os
import resource

from parley_gateway.app import build
from parley_gateway.settings import Settings
from parley_mesh.runner import run
from parley_mesh.settings import MeshSettings, explain, load, variable
from parley_proto.errors import SettingsError

FILES = 16_384


def main() -> None:
    _listen_where_asked()
    _allow_many_files()
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


def _allow_many_files() -> None:
    """A socket is a file, and the usual limit is 1,024: raise it as far as the system lets this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    main()
