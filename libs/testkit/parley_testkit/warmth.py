"""What the first mesh of a test run computed from the package's articles, for the meshes that start after it.

The model's graph and the vectors are found by their content, so that a mesh that takes them over behaves as on its
second start: it reads and stores every article, but embeds none.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path

_MODEL, _VECTORS = "model", "embeddings.sqlite"


def lend(shelf: Path, data: Path) -> None:
    """Begin the knowledge service's folder `data` with what lies on the shelf, if anything does."""
    if shelf.is_dir() and not data.exists():
        shutil.copytree(shelf, data)


def keep(shelf: Path, data: Path) -> None:
    """Put what `data` of a running service has onto the shelf, whole or not at all; the first one stays."""
    if shelf.is_dir() or not (data / _VECTORS).exists():
        return
    made = Path(tempfile.mkdtemp(dir=shelf.parent))
    shutil.copytree(data / _MODEL, made / _MODEL)
    vectors, copy = sqlite3.connect(data / _VECTORS), sqlite3.connect(made / _VECTORS)
    with contextlib.closing(vectors), contextlib.closing(copy):
        vectors.backup(copy)
    # Another process of the same run may have been quicker.
    with contextlib.suppress(OSError):
        made.rename(shelf)
    shutil.rmtree(made, ignore_errors=True)
