"""The embedding model: a tokenizer and an onnxruntime session. Synchronous; `worker.py` runs it in its own process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Encoding, Tokenizer

from parley_embedding.files import HIDDEN, LONGEST_TEXT, MODEL, Files, prepare
from parley_proto.errors import SettingsError, TransientError

__all__ = ["HIDDEN", "LONGEST", "MODEL", "MiniLM", "Vectors", "load"]

LONGEST = 256
_TOGETHER = 16

Vectors = npt.NDArray[np.float32]


def load(folder: Path, precision: str, threads: int) -> MiniLM:
    """The model in this process, from `folder`; SettingsError as `prepare` says, or where its file is damaged."""
    return MiniLM(prepare(folder, precision), threads)


class MiniLM:
    """all-MiniLM-L6-v2. Safe to call from several threads."""

    dimensions = HIDDEN

    def __init__(self, files: Files, threads: int) -> None:
        self.name = files.name
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)
        self._session = _session(files.graph, threads)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """`texts` as rows of 384 numbers, each of length 1; only the first 256 tokens count.

        TransientError when the runtime fails, for instance without memory.
        """
        encoded = self._tokenizer.encode_batch([text[:LONGEST_TEXT] for text in texts])
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


def _session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # A full disk or an editor: the graph is written whole or not at all, so that only a damaged one gets here.
        raise SettingsError(f"The embedding model {graph} can't be loaded: delete it, it is built anew.") from error
