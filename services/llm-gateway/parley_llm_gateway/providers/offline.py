"""The offline model as a provider: extractive, deterministic, nothing leaves this process."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from parley_llm_gateway import offline
from parley_llm_gateway.errors import ProviderRefused
from parley_llm_gateway.providers.base import Call, Emit, Vectors
from parley_proto.llm import Finished


class OfflineProvider:
    """Answers at once; makes no embeddings."""

    name = "parley"
    address = ("", 0)

    async def complete(self, call: Call, emit: Emit) -> Finished:
        for piece in offline.pieces(call.request, call.model):
            if isinstance(piece, Finished):
                return msgspec.structs.replace(piece, provider=self.name)
            emit(piece)
        raise AssertionError("the offline model always ends")

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Vectors:
        raise ProviderRefused("The offline model makes no embeddings.", code="unknown_model")

    async def close(self) -> None:
        return None
