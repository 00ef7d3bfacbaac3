"""The real llm-gateway on a real log, asked with the rights of rag's own user; only the provider plays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from test_completions_travel_over_nats import living

from parley_llm_gateway.settings import Settings as GatewaySettings
from parley_mesh.jetstream import NatsBus
from parley_proto.errors import PermanentError
from parley_rag.embedding import Encoder, embedder_for
from parley_rag.settings import Settings
from parley_testkit.fake_provider import FakeProvider
from parley_testkit.nats_server import NatsServer

CONFIG = """
[providers.a]
kind = 'openai'
base_url = '{url}'
[models.vec]
provider = 'a'
capabilities = ['embeddings']
[tiers.standard]
candidates = ['vec']
[embeddings]
model = 'vec'
"""


@pytest.fixture
async def provider(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[FakeProvider]:
    """A provider whose vectors are a text's length and first letter, behind the llm-gateway."""
    async with FakeProvider() as playing:
        file = tmp_path / "llm.toml"
        file.write_text(CONFIG.format(url=playing.url))
        async with living(nats_server, GatewaySettings(config=str(file))):
            yield playing


@pytest.fixture
async def bus(nats_server: NatsServer) -> NatsBus:
    return NatsBus(await nats_server.connect("rag"))


async def test_texts_get_the_vectors_of_the_providers_model(provider: FakeProvider, bus: NatsBus) -> None:
    model = await embedder_for(Settings(embedding="llm-gateway"), bus, "llm-gateway")
    encoder = Encoder(model, batch_size=64, cache_size=10)
    vectors = await encoder.vectors(["abc", "b"])
    await encoder.close()
    assert (model.name, model.dimensions) == ("vec", 2)
    expected = np.array([[3, ord("a")], [1, ord("b")]], np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose([np.frombuffer(vector, "<f4") for vector in vectors], expected, atol=1e-6)


async def test_an_ingestion_of_many_texts_takes_few_calls(provider: FakeProvider, bus: NatsBus) -> None:
    model = await embedder_for(Settings(embedding="llm-gateway"), bus, "llm-gateway")
    encoder = Encoder(model, batch_size=64, cache_size=0)
    before = len(provider.requests)
    vectors = await encoder.vectors([f"text {number}" for number in range(640)], remember=False, urgent=False)
    await encoder.close()
    assert len(vectors) == 640 and len(provider.requests) - before == 10


async def test_a_text_that_the_llm_gateway_refuses_fails_alone(provider: FakeProvider, bus: NatsBus) -> None:
    model = await embedder_for(Settings(embedding="llm-gateway"), bus, "llm-gateway")
    encoder = Encoder(model, batch_size=64, cache_size=0)
    with pytest.raises(PermanentError) as caught:
        await encoder.vectors([" "])
    assert caught.value.code == "empty_messages"
    assert len(await encoder.vectors(["text"])) == 1
    await encoder.close()
