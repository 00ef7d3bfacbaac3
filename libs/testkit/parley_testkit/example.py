"""A tiny service, made on the spot, for tests of what runs services: found by its entry point like the real ones."""

from __future__ import annotations

import os
from pathlib import Path

_SETTINGS = '''
import msgspec


class Settings(msgspec.Struct, frozen=True):
    """`fall` ends the process at once, `refuses` is a file with which it does not start."""

    greeting: str = "hello"
    ready: bool = True
    fall: bool = False
    refuses: str = ""
    patience: int = 3
'''
_MAIN = """
import sys
from pathlib import Path

from parley_example.settings import Settings
from parley_mesh.runner import Service, run
from parley_proto.errors import SettingsError


async def build(settings, mesh):
    if settings.fall:
        print("the example falls, as it was told to", file=sys.stderr)
        sys.exit(7)
    if settings.refuses and Path(settings.refuses).exists():
        raise SettingsError(f"{settings.refuses} is in the way.")
    return Service(ready=lambda: "" if settings.ready else "example waits for ever.", stats=lambda: {"in_flight": 0})


run("example", Settings, build)
"""
_METADATA = "Metadata-Version: 2.1\nName: parley-example\nVersion: 0.1.0\n"
_ENTRY_POINTS = "[parley.services]\nexample = parley_example.settings:Settings\n"


def example_service(folder: Path) -> dict[str, str]:
    """Write the service `example` into `folder`; the environment with which a supervisor runs it and nothing else."""
    package, metadata = folder / "parley_example", folder / "parley_example-0.1.0.dist-info"
    for path in (package, metadata):
        path.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    (package / "settings.py").write_text(_SETTINGS)
    (package / "__main__.py").write_text(_MAIN)
    (metadata / "METADATA").write_text(_METADATA)
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)
    search = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": search, "PARLEY_UP_ONLY": "example"}
