"""The door: `python -m parley_rag`."""

from __future__ import annotations

import os

# LanceDB's engine writes plain text beside our JSON lines; it reads this when it is imported.
os.environ.setdefault("LANCE_LOG", "error")

from parley_mesh.runner import run  # noqa: E402
from parley_rag.app import build  # noqa: E402
from parley_rag.settings import Settings  # noqa: E402

if __name__ == "__main__":
    run("rag", Settings, build)
