from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from parley_embedding.files import build_graph, prepare
from parley_embedding.minilm import MiniLM, load
from parley_proto.errors import SettingsError
from parley_rag.adapters import Vector

pytest_plugins = ("rag_fixtures",)

TEXTS = ["I was charged twice for my last order.", "My router keeps dropping the connection.", "Hello!"]
# The first four of 384 numbers: a graph that was built wrong gives others.
FIRST = [
    [-0.0042364, 0.0149565, 0.0727825, 0.0250430],
    [0.0071037, -0.0156240, 0.0169912, 0.0486636],
    [-0.0606268, 0.0399649, 0.0322262, 0.0488914],
]
_LOAD = "import pathlib, sys; from parley_embedding.minilm import load; load(pathlib.Path(sys.argv[1]), 'fp32', 1)"


def cosines(vectors: Vector) -> Vector:
    return np.asarray(vectors @ vectors.T)


async def loading(folder: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", _LOAD, str(folder))


async def test_two_processes_that_start_at_once_build_one_graph(tmp_path: Path) -> None:
    processes = [await loading(tmp_path) for _ in range(2)]
    assert [await process.wait() for process in processes] == [0, 0]
    assert sorted(os.listdir(tmp_path)) == ["minilm-v1-fp32.lock", "minilm-v1-fp32.onnx"]


async def test_a_build_that_was_cut_off_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".minilm-half.onnx").write_bytes(b"half a graph")
    (tmp_path / "minilm-v1-fp32.lock").touch()
    process = await loading(tmp_path)
    assert await process.wait() == 0


def test_the_numbers_are_those_of_the_published_model(model: MiniLM) -> None:
    assert np.abs(model.encode(TEXTS)[:, :4] - np.array(FIRST)).max() < 1e-5


def test_like_texts_are_near_and_unlike_ones_are_not(model: MiniLM) -> None:
    vectors = model.encode(["How do I get my money back?", "I want a refund.", "The cat sleeps on the sofa."])
    near = cosines(vectors)
    assert near[0, 1] > 0.6 and abs(near[0, 2]) < 0.15 and np.allclose(np.diag(near), 1, atol=1e-5)


def test_a_text_has_the_same_vector_alone_and_in_any_company(model: MiniLM) -> None:
    company = [*TEXTS, "word " * 400, "a", "several words of middling length"] * 6
    together = model.encode(company)
    for index in (0, 2, 4, 17, 35):
        assert np.abs(together[index] - model.encode([company[index]])[0]).max() < 1e-5


def test_only_the_first_256_tokens_count(model: MiniLM) -> None:
    long = "word " * 400
    assert np.array_equal(model.encode([long])[0], model.encode([long + "other " * 50])[0])


def test_whole_numbers_are_close_to_fractions(model: MiniLM, small_model: MiniLM) -> None:
    assert small_model.name == "all-MiniLM-L6-v2-int8"
    alike = (small_model.encode(TEXTS) * model.encode(TEXTS)).sum(1)
    assert alike.min() > 0.97


def test_a_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"can't be prepared in .*/file/model: .* Correct PARLEY_RAG_DATA_DIR"):
        load(tmp_path / "file" / "model", "fp32", 1)


def test_weights_that_are_damaged_are_said_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"not weights")
    with pytest.raises(OSError, match="Error"):
        build_graph(tmp_path / "weights", tmp_path / "model", "fp32")
    assert os.listdir(tmp_path / "model") == ["minilm-v1-fp32.lock"]


def test_a_graph_that_is_damaged_is_named(tmp_path: Path) -> None:
    graph = prepare(tmp_path, "fp32").graph
    graph.write_bytes(graph.read_bytes()[:1_000_000])
    with pytest.raises(SettingsError, match=r"minilm-v1-fp32.onnx can't be loaded: delete it"):
        load(tmp_path, "fp32", 1)
