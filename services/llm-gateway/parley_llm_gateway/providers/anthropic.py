"""Anthropic's messages API."""

from __future__ import annotations

from collections.abc import Sequence

from parley_llm_gateway.anthropic_wire import Translator, messages_body
from parley_llm_gateway.assembly import Assembly
from parley_llm_gateway.config import ProviderConfig
from parley_llm_gateway.errors import ProviderRefused
from parley_llm_gateway.providers.base import Call, Emit, Vectors
from parley_llm_gateway.providers.http import Upstream
from parley_llm_gateway.providers.streams import read
from parley_proto.llm import Finished

_VERSION = "2023-06-01"


class AnthropicProvider:
    """One account there; `base_url` may end with /v1 or not."""

    name = "anthropic"

    def __init__(self, config: ProviderConfig) -> None:
        headers = {"anthropic-version": _VERSION} | ({"x-api-key": config.api_key} if config.api_key else {})
        self._config = config
        self._path = "/messages" if config.base_url.endswith("/v1") else "/v1/messages"
        self._upstream = Upstream(config, headers)
        self.address = self._upstream.address

    async def complete(self, call: Call, emit: Emit) -> Finished:
        assembly = Assembly(call)
        async with self._upstream.ask(self._path, messages_body(call), call.pace) as answer:
            await read(answer, Translator().chunk, assembly, emit)
        return assembly.end(emit, self._config.name)

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Vectors:
        raise ProviderRefused("Anthropic makes no embeddings.", code="unknown_model")

    async def close(self) -> None:
        await self._upstream.close()
