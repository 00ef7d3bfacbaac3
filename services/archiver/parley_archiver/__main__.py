"""The door: `python -m parley_archiver`."""

from __future__ import annotations

from parley_archiver.app import build
from parley_archiver.settings import Settings
from parley_mesh.runner import run

if __name__ == "__main__":
    run("archiver", Settings, build)
