from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest

from parley_proto.errors import TransientError
from parley_rag.adapters import Vector
from parley_rag.embedding import Encoder, InProcess


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


Make = Callable[..., Encoder]


@pytest.fixture
async def encoder() -> AsyncIterator[Make]:
    made: list[tuple[PaperModel, Encoder]] = []

    def make(
        model: PaperModel, batch_size: int = 4, cache_size: int = 100, max_waiting: int = 100, portion: int = 2
    ) -> Encoder:
        one = Encoder(
            InProcess(model, portion=portion), batch_size=batch_size, cache_size=cache_size, max_waiting=max_waiting
        )
        made.append((model, one))
        return one

    yield make
    for model, one in made:
        model.open.set()
        await one.close()


def lengths(vectors: list[bytes]) -> list[float]:
    return [struct.unpack("<2f", vector)[0] for vector in vectors]


async def busy(model: PaperModel, one: Encoder) -> asyncio.Task[list[bytes]]:
    """Have the model work on a text, until the test opens it again."""
    model.open.clear()
    asked = asyncio.create_task(one.vectors(["first"]))
    while not model.batches or model.batches[-1] != ["first"]:
        await asyncio.sleep(0.001)
    return asked


async def asked(one: Encoder, *texts: str, urgent: bool = True) -> list[asyncio.Task[list[bytes]]]:
    """A request for each text, all of them waiting."""
    tasks = [asyncio.create_task(one.vectors([text], urgent=urgent)) for text in texts]
    await asyncio.sleep(0)
    return tasks


async def test_vectors_come_in_the_order_of_the_texts(encoder: Make) -> None:
    model = PaperModel()
    assert lengths(await encoder(model, batch_size=2).vectors(["ccc", "a", "bb", "a"])) == [3, 1, 2, 1]
    assert model.batches == [["ccc", "a"], ["bb"]]


async def test_what_arrives_while_the_model_works_is_the_next_batch(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model, batch_size=3)
    first = await busy(model, one)
    late = await asked(one, *(f"late {number}" for number in range(5)))
    model.open.set()
    await asyncio.gather(first, *late)
    assert model.batches == [["first"], ["late 0", "late 1", "late 2"], ["late 3", "late 4"]]


async def test_a_text_in_work_is_not_encoded_again(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model)
    results = await asyncio.gather(*(one.vectors(["same"]) for _ in range(10)))
    assert model.batches == [["same"]] and all(lengths(result) == [4] for result in results)


async def test_known_texts_are_remembered_and_the_oldest_are_forgotten(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model, cache_size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        await one.vectors([text])
    assert model.batches == [["a"], ["b"], ["c"], ["b"]]


async def test_ingestion_does_not_push_out_what_customers_ask(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model, cache_size=1)
    await one.vectors(["asked"])
    await one.vectors(["ingested"], remember=False, urgent=False)
    await one.vectors(["asked"])
    assert model.batches == [["asked"], ["ingested"]]


async def test_a_customer_goes_before_an_ingestion_which_still_gets_on(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model, batch_size=1)
    first = await busy(model, one)
    slices = await asked(one, "slice 0", "slice 1", urgent=False)
    queries = await asked(one, *(f"query {number}" for number in range(9)))
    model.open.set()
    await asyncio.gather(first, *slices, *queries)
    order = [text for batch in model.batches[1:] for text in batch]
    assert order[:4] == ["query 0", "query 1", "query 2", "query 3"]
    assert [order.index("slice 0"), order.index("slice 1")] == [4, 9]


async def test_an_ingestion_goes_in_portions_and_never_together_with_a_query(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model, batch_size=8)
    first = await busy(model, one)
    [slices] = [asyncio.create_task(one.vectors(["s0", "s1", "s2"], remember=False, urgent=False))]
    await asyncio.sleep(0)
    [query] = await asked(one, "query")
    model.open.set()
    await asyncio.gather(first, slices, query)
    assert model.batches == [["first"], ["query"], ["s0", "s1"], ["s2"]]


async def test_what_a_customer_asks_too_need_not_wait_with_the_ingestion(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model)
    first = await busy(model, one)
    slices = await asked(one, "s0", "s1", "s2", urgent=False)
    query = await asked(one, "s2")
    model.open.set()
    await asyncio.gather(first, *slices, *query)
    assert model.batches == [["first"], ["s2"], ["s0", "s1"]]


async def test_past_its_limit_the_queue_refuses_at_once(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model, max_waiting=2)
    first = await busy(model, one)
    waiting = await asked(one, "a", "b")
    with pytest.raises(TransientError, match="Too many texts wait") as caught:
        await one.vectors(["c"])
    assert caught.value.code == "overloaded" and one.waiting == 2
    again = await asked(one, "a")
    model.open.set()
    await asyncio.gather(first, *waiting, *again)
    assert lengths(await one.vectors(["c"])) == [1]


async def test_an_ingestion_is_not_refused_for_its_own_length(encoder: Make) -> None:
    texts = ["x" * number for number in range(1, 41)]
    one = encoder(PaperModel(), max_waiting=5)
    assert lengths(await one.vectors(texts, remember=False, urgent=False)) == list(range(1, 41))


async def test_nothing_is_encoded_for_nobody(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model)
    first = await busy(model, one)
    gone, shared, patient = await asked(one, "gone", "shared", "shared")
    gone.cancel()
    shared.cancel()
    await asyncio.wait((gone, shared))
    assert one.waiting == 1
    model.open.set()
    await first
    assert lengths(await patient) == [6]
    assert model.batches == [["first"], ["shared"]]


async def test_a_failure_reaches_everybody_in_the_batch_and_nobody_after_it(encoder: Make) -> None:
    model = PaperModel()
    model.broken = True
    one = encoder(model)
    results = await asyncio.gather(one.vectors(["a"]), one.vectors(["b"]), return_exceptions=True)
    assert [type(result) for result in results] == [TransientError, TransientError]
    model.broken = False
    assert lengths(await one.vectors(["a"])) == [1]


async def test_who_gives_up_waiting_takes_nothing_from_the_others(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model)
    impatient = await busy(model, one)
    patient = asyncio.create_task(one.vectors(["first"]))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    model.open.set()
    assert lengths(await patient) == [5] and model.batches == [["first"]]


async def test_closing_finishes_what_waits_and_takes_nothing_more(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model)
    last = await asked(one, "last words")
    await one.close()
    assert lengths(await last[0]) == [10]
    with pytest.raises(TransientError, match="stopping"):
        await one.vectors(["too late"])
    await one.close()


async def test_closing_does_not_wait_for_those_who_went_away(encoder: Make) -> None:
    model = PaperModel()
    one = encoder(model)
    first = await busy(model, one)
    waiting = await asked(one, "gone")
    closing = asyncio.create_task(one.close())
    await asyncio.sleep(0)
    waiting[0].cancel()
    model.open.set()
    async with asyncio.timeout(5):
        await closing
    assert lengths(await first) == [5]
