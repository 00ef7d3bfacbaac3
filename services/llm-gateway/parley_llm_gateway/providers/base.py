"""What every provider can do, and what a call is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from parley_proto.llm import CompletionRequest, Finished, TextDelta, ToolCalled

Emit = Callable[[TextDelta | ToolCalled], None]


class Pace(msgspec.Struct, frozen=True):
    """How long a provider may take, in seconds; fewer than `min_chars_per_s` over `slow_window_s` is a drip."""

    connect_s: float = 2.0
    first_delta_s: float = 20.0
    inter_delta_s: float = 15.0
    min_chars_per_s: float = 2.0
    slow_window_s: float = 10.0


class Call(msgspec.Struct, frozen=True):
    """One completion of a provider's own `model`, with at most `max_output_chars` characters."""

    request: CompletionRequest
    model: str
    pace: Pace
    max_output_chars: int = 400_000
    max_tokens: int = 4096


class Vectors(msgspec.Struct, frozen=True):
    """Little-endian float32, one text after the other."""

    model: str
    dimensions: int
    data: bytes
    prompt_tokens: int


class Provider(Protocol):
    """Answers a completion with text and whole tool calls, in order, to `emit`; its end is the result.

    Raises ProviderFailed, ProviderRefused or KeyRefused. Cancelling a call closes the provider's socket at once.
    """

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> tuple[str, int]:
        """Host and port for traces; an empty host inside this process."""
        ...

    async def complete(self, call: Call, emit: Emit) -> Finished: ...

    async def embed(self, texts: Sequence[str], model: str, dimensions: int | None) -> Vectors: ...

    async def close(self) -> None: ...
