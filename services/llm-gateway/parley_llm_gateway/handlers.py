"""What the llm-gateway answers on NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import msgspec

from parley_llm_gateway.completions import Completions
from parley_mesh.bus import Answerer, Listener, Streamer
from parley_proto.envelope import deadline_of, decode, encode
from parley_proto.llm import CompletionRequest, VectorsRequest


def completing(completions: Completions) -> Streamer:
    """`llm.complete.<tier>`: a CompletionRequest in, CompletionEvents out."""

    async def complete(data: bytes, headers: dict[str, str]) -> AsyncIterator[bytes]:
        request: CompletionRequest = decode(data, CompletionRequest)
        request = msgspec.structs.replace(request, deadline_at=deadline_of(headers, request.deadline_at))
        async with aclosing(completions.events(request)) as events:
            async for event in events:
                yield encode(event)

    return complete


def embedding(completions: Completions) -> Answerer:
    """`llm.embed`: a VectorsRequest in, a VectorsReply out."""

    async def embed(data: bytes, headers: dict[str, str]) -> bytes:
        request: VectorsRequest = decode(data, VectorsRequest)
        request = msgspec.structs.replace(request, deadline_at=deadline_of(headers, request.deadline_at))
        return encode(await completions.vectors(request))

    return embed


def naming(tell: Callable[[str], None]) -> Listener:
    """`llm.cancel.<request or turn>`, `llm.renew.<request>`: `tell` hears the id."""

    async def hear(subject: str, data: bytes, headers: dict[str, str]) -> None:
        tell(subject.rpartition(".")[2])

    return hear
