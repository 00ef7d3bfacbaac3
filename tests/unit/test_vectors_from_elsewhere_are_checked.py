from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.envelope import decode, encode, now_ms
from parley_proto.errors import PermanentError, TransientError
from parley_proto.llm import VectorsReply, VectorsRequest
from parley_rag.embedding import Encoder
from parley_rag.embedding.choice import embedder_for
from parley_rag.embedding.remote import Patience, RemoteModel
from parley_rag.settings import Settings

Vectors = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class PaperGateway:
    """Answers `llm.embed` with one vector a text: its length, 1, 0 and so on."""

    def __init__(self, bus: MemoryBus) -> None:
        self.requests: list[VectorsRequest] = []
        self.model = "vec-1"
        self.dimensions = 3
        self.row: list[float] | None = None
        self.failures = 0
        self.cut = 0
        bus.serve(subjects.LLM_EMBED, self.answer)

    async def answer(self, data: bytes, headers: dict[str, str]) -> bytes:
        request: VectorsRequest = decode(data, VectorsRequest)
        self.requests.append(request)
        if self.failures:
            self.failures -= 1
            raise TransientError("The provider is overloaded.", code="provider_unavailable")
        rows = np.zeros((len(request.texts), self.dimensions), np.float32)
        rows[:, 0] = [len(text) for text in request.texts]
        rows[:, 1] = 1
        if self.row is not None and request.texts != ["Which model is this?"]:
            rows[:] = self.row
        vectors = rows.astype("<f4").tobytes()
        return encode(VectorsReply(self.model, self.dimensions, vectors[: len(vectors) - self.cut], 7))


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def remote(bus: MemoryBus) -> AsyncIterator[RemoteModel]:
    model = RemoteModel(bus, model="vec", tenant="acme", patience=Patience(0.5, 0.5))
    yield model
    await model.close()


async def ask(remote: RemoteModel, *texts: str, urgent: bool = True) -> Vectors:
    await remote.start()
    await remote.learned(5)
    found = await (await remote.worker()).encode(texts, urgent)
    return np.stack([np.frombuffer(one, "<f4") for one in found])


async def test_vectors_come_in_order_and_of_length_one(bus: MemoryBus, remote: RemoteModel) -> None:
    gateway = PaperGateway(bus)
    found = await ask(remote, "abc", "a")
    assert (remote.name, remote.dimensions) == ("vec-1", 3)
    assert np.allclose(np.linalg.norm(found, axis=1), 1) and np.allclose(found[:, 0] / found[:, 1], [3, 1])
    [_, request] = gateway.requests
    assert (request.model, request.tenant, request.texts) == ("vec", "acme", ["abc", "a"])
    assert 0 < request.deadline_at - now_ms() <= 500


async def test_a_failure_that_may_pass_is_tried_again_until_the_deadline(bus: MemoryBus, remote: RemoteModel) -> None:
    gateway = PaperGateway(bus)
    await ask(remote, "a")
    gateway.failures = 2
    assert len(await remote.encode(["b"], True)) == 1
    gateway.failures = 1_000
    with pytest.raises(TransientError) as caught:
        await remote.encode(["c"], True)
    assert caught.value.code == "provider_unavailable" and gateway.failures < 1_000


async def test_a_refusal_is_not_tried_again(bus: MemoryBus, remote: RemoteModel) -> None:
    gateway = PaperGateway(bus)
    await ask(remote, "a")
    asked: list[bytes] = []

    async def refuse(data: bytes, headers: dict[str, str]) -> bytes:
        asked.append(data)
        raise PermanentError("The model is unknown here.", code="unknown_model")

    bus.serve(subjects.LLM_EMBED, refuse)
    with pytest.raises(PermanentError, match="unknown here"):
        await remote.encode(["b"], True)
    assert len(asked) == 1 and len(gateway.requests) == 2


async def test_until_the_model_is_known_there_are_no_vectors_and_then_there_are(
    bus: MemoryBus, remote: RemoteModel
) -> None:
    await remote.start()
    encoder = Encoder(remote, batch_size=8, cache_size=8)
    with pytest.raises(TransientError, match="is not known") as caught:
        await encoder.vectors(["a"])
    assert caught.value.code == "embedding_unavailable"
    PaperGateway(bus)
    async with asyncio.timeout(10):
        await remote.learned(10)
        while not encoder.workers:
            await asyncio.sleep(0.01)
    assert len(await encoder.vectors(["a"])) == 1
    await encoder.close()


@pytest.mark.parametrize(("model", "dimensions"), [("vec-1", 4), ("vec-2", 3)])
async def test_another_model_in_mid_life_is_refused(
    bus: MemoryBus, remote: RemoteModel, model: str, dimensions: int
) -> None:
    gateway = PaperGateway(bus)
    await ask(remote, "a")
    gateway.model, gateway.dimensions = model, dimensions
    with pytest.raises(PermanentError, match="set its model back") as caught:
        await remote.encode(["b"], True)
    assert caught.value.code == "wrong_dimensions"


@pytest.mark.parametrize("row", [[0, 0, 0], [float("nan"), 1, 1], [float("inf"), 1, 1]])
async def test_a_vector_without_a_direction_is_refused(bus: MemoryBus, remote: RemoteModel, row: list[float]) -> None:
    gateway = PaperGateway(bus)
    gateway.row = row
    with pytest.raises(PermanentError, match="without a direction"):
        await ask(remote, "a")


async def test_an_answer_that_is_too_short_is_refused(bus: MemoryBus, remote: RemoteModel) -> None:
    gateway = PaperGateway(bus)
    await ask(remote, "a")
    gateway.cut = 4
    with pytest.raises(PermanentError, match="answered 20 bytes for 2 vectors"):
        await remote.encode(["b", "c"], True)


async def test_a_request_fits_into_a_message_and_so_does_its_answer(bus: MemoryBus, remote: RemoteModel) -> None:
    gateway = PaperGateway(bus)
    gateway.dimensions = 3_072
    texts = ["x" * 65_536] * 20 + ["short"] * 60
    assert len(await ask(remote, *texts, urgent=False)) == 80
    assert max(len(encode(request)) for request in gateway.requests) < 500_000
    assert max(len(request.texts) for request in gateway.requests) * 3_072 * 4 * 4 / 3 < 750_000


async def test_the_settings_choose_it_and_give_up_when_it_never_answers(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(embedding="llm-gateway", embedding_model="vec")
    monkeypatch.setattr("parley_rag.embedding.choice._LEARNED_S", 0.05)
    with pytest.raises(TransientError, match=r"Nobody answers on llm\.embed"):
        await embedder_for(settings, bus, "llm-gateway")
    PaperGateway(bus)
    chosen = await embedder_for(settings, bus, "llm-gateway")
    assert (chosen.name, chosen.dimensions) == ("vec-1", 3)
    await chosen.close()
