"""Any server that speaks OpenAI's chat completions and embeddings: OpenAI, vLLM, Ollama, TGI."""

from __future__ import annotations

from collections.abc import Sequence

from parley_llm_gateway.assembly import Assembly
from parley_llm_gateway.config import ProviderConfig
from parley_llm_gateway.providers.base import Call, Emit, Vectors
from parley_llm_gateway.providers.http import Upstream
from parley_llm_gateway.providers.streams import read
from parley_llm_gateway.wire import embeddings_body, read_chunk, read_vectors, request_body
from parley_proto.llm import Finished

_HOST = "api.openai.com"


class OpenAIProvider:
    """One account at such a server."""

    def __init__(self, config: ProviderConfig) -> None:
        headers = {"Authorization": f"Bearer {config.api_key}"} if config.api_key else {}
        self._config = config
        self._upstream = Upstream(config, headers)
        self.address = self._upstream.address
        self.name = "openai" if self.address[0] == _HOST else "openai_compatible"
        # OpenAI's newer models refuse the old name, other servers know only the old one.
        self._limit_field = "max_completion_tokens" if self.name == "openai" else "max_tokens"

    async def complete(self, call: Call, emit: Emit) -> Finished:
        assembly = Assembly(call)
        body = request_body(call.request, call.model, self._limit_field)
        async with self._upstream.ask("/chat/completions", body, call.pace) as answer:
            await read(answer, read_chunk, assembly, emit)
        return assembly.end(emit, self._config.name)

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Vectors:
        body = embeddings_body(texts, model, dimensions)
        async with self._upstream.ask("/embeddings", body, self._config.pace) as answer:
            return read_vectors(await answer.whole(), model, len(texts))

    async def close(self) -> None:
        await self._upstream.close()
