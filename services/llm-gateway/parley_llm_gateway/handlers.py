"""What the llm-gateway answers on NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from parley_llm_gateway.completions import Completions
from parley_mesh.bus import Listener, Streamer
from parley_proto.envelope import decode, encode
from parley_proto.llm import CompletionRequest


def completing(completions: Completions) -> Streamer:
    """`llm.complete.<tier>`: a CompletionRequest in, CompletionEvents out."""

    async def complete(data: bytes, headers: dict[str, str]) -> AsyncIterator[bytes]:
        request: CompletionRequest = decode(data, CompletionRequest)
        async with aclosing(completions.events(request)) as events:
            async for event in events:
                yield encode(event)

    return complete


def cancelling(completions: Completions) -> Listener:
    """`llm.cancel.<request_id>`: ends that completion at once, wherever it runs."""

    async def cancel(subject: str, data: bytes, headers: dict[str, str]) -> None:
        completions.running.cancel(subject.rpartition(".")[2])

    return cancel
