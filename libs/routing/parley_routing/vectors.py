"""Vectors of many texts, from the local model; kept in a folder so that a second run is quick."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from parley_proto.errors import PermanentError, SettingsError
from parley_routing.grams import Floats

MODEL = "all-MiniLM-L6-v2"
_TOGETHER = 256
_THREADS = 2

Progress = Callable[[str], None]


def embed(texts: Sequence[str], folder: Path, say: Progress) -> Floats:
    """A row a text, [texts, 384], each of length 1; SettingsError where the model is missing or `folder` is full."""
    file = folder / f"{hashlib.sha256(msgspec.json.encode([MODEL, *texts])).hexdigest()[:24]}.npy"
    if file.exists():
        return _kept(file, len(texts))
    rows = _encoded(texts, folder, say)
    beside = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        with beside.open("wb") as out:
            np.save(out, rows)
        os.replace(beside, file)
    except OSError as error:
        raise SettingsError(f"The vectors can't be kept in {folder}: {error}. Make room or name another.") from error
    finally:
        beside.unlink(missing_ok=True)
    return rows


def _kept(file: Path, count: int) -> Floats:
    try:
        rows: Floats = np.load(file, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise PermanentError(f"{file} is damaged: delete it and run again.", code="bad_file") from error
    if rows.shape[:1] != (count,):
        raise PermanentError(f"{file} is damaged: delete it and run again.", code="bad_file")
    return rows


def _encoded(texts: Sequence[str], folder: Path, say: Progress) -> Floats:
    try:
        from parley_embedding.minilm import load
    except ModuleNotFoundError as error:
        raise SettingsError("Training needs the embedding model: install parley-embedding.") from error
    model = load(folder, "fp32", _THREADS)
    parts: list[Floats] = []
    for at in range(0, len(texts), _TOGETHER):
        parts.append(model.encode(texts[at : at + _TOGETHER]))
        say(f"embedded {min(at + _TOGETHER, len(texts)):,} of {len(texts):,} texts")
    return np.concatenate(parts)
