from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from parley_proto.errors import TransientError
from parley_rag.adapters import Vector
from parley_rag.batching import Encoder


class PaperModel:
    """Vectors of two numbers, the length of the text and 1; works only while `open` is set."""

    name, dimensions = "paper", 2

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.broken = False

    def encode(self, texts: Sequence[str]) -> Vector:
        self.batches.append(list(texts))
        self.open.wait(10)
        if self.broken:
            raise TransientError("The embedding model failed: no memory.", code="embedding_failed")
        return np.array([[len(text), 1] for text in texts], np.float32)


def encoder(model: PaperModel, batch_size: int = 4, cache_size: int = 100) -> Encoder:
    return Encoder(model, batch_size=batch_size, cache_size=cache_size)


def lengths(vectors: list[bytes]) -> list[float]:
    return [struct.unpack("<2f", vector)[0] for vector in vectors]


async def test_vectors_come_in_the_order_of_the_texts() -> None:
    model = PaperModel()
    assert lengths(await encoder(model, batch_size=2).vectors(["ccc", "a", "bb", "a"])) == [3, 1, 2, 1]
    assert model.batches == [["ccc", "a"], ["bb"]]


async def test_what_arrives_while_the_model_works_is_the_next_batch() -> None:
    model = PaperModel()
    model.open.clear()
    one = encoder(model, batch_size=3)
    asked = [asyncio.create_task(one.vectors([f"text {number}"])) for number in range(5)]
    await asyncio.sleep(0)
    model.open.set()
    await asyncio.gather(*asked)
    assert [len(batch) for batch in model.batches] == [3, 2]
    model.open.clear()
    first = asyncio.create_task(one.vectors(["first"]))
    while model.batches[-1] != ["first"]:
        await asyncio.sleep(0.001)
    late = [asyncio.create_task(one.vectors([f"late {number}"])) for number in range(3)]
    await asyncio.sleep(0)
    model.open.set()
    await asyncio.gather(first, *late)
    assert model.batches[-1] == ["late 0", "late 1", "late 2"]


async def test_a_text_in_work_is_not_encoded_again() -> None:
    model = PaperModel()
    one = encoder(model)
    results = await asyncio.gather(*(one.vectors(["same"]) for _ in range(10)))
    assert model.batches == [["same"]] and all(lengths(result) == [4] for result in results)


async def test_known_texts_are_remembered_and_the_oldest_are_forgotten() -> None:
    model = PaperModel()
    one = encoder(model, cache_size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await one.vectors([text])
    assert model.batches == [["a"], ["b"], ["c"], ["b"]]


async def test_ingestion_does_not_push_out_what_customers_ask() -> None:
    model = PaperModel()
    one = encoder(model, cache_size=1)
    await one.vectors(["asked"])
    await one.vectors(["ingested"], remember=False)
    await one.vectors(["asked"])
    assert model.batches == [["asked"], ["ingested"]]


async def test_a_failure_reaches_everybody_in_the_batch_and_nobody_after_it() -> None:
    model = PaperModel()
    model.broken = True
    one = encoder(model)
    results = await asyncio.gather(one.vectors(["a"]), one.vectors(["b"]), return_exceptions=True)
    assert [type(result) for result in results] == [TransientError, TransientError]
    model.broken = False
    assert lengths(await one.vectors(["a"])) == [1]


async def test_who_gives_up_waiting_takes_nothing_from_the_others() -> None:
    model = PaperModel()
    model.open.clear()
    one = encoder(model)
    impatient, patient = asyncio.create_task(one.vectors(["same"])), asyncio.create_task(one.vectors(["same"]))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    model.open.set()
    assert lengths(await patient) == [4]


async def test_closing_finishes_what_waits() -> None:
    model = PaperModel()
    one = encoder(model)
    asked = asyncio.create_task(one.vectors(["last words"]))
    await asyncio.sleep(0)
    await one.close()
    assert lengths(await asked) == [10]
