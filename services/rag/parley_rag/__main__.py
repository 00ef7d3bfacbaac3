"""The door: `python -m parley_rag`."""

from __future__ import annotations

import os

# LanceDB's engine writes plain text beside our JSON lines; it reads this when it is imported.
os.environ.setdefault("LANCE_LOG", "error")
# And OpenBLAS this: for a single vector its threads only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from parley_mesh.runner import run
from parley_rag.app import build
from parley_rag.settings import Settings

if __name__ == "__main__":
    run("rag", Settings, build)
