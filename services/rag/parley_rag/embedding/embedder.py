"""Where vectors come from, as protocols: an embedder, and the workers that it provides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from parley_proto.errors import TransientError


class WorkerLostError(TransientError):
    """A worker has ended in the middle of its texts: another one may encode them."""

    code = "embedding_failed"


class Worker(Protocol):
    """Encodes one batch at a time."""

    @property
    def gone(self) -> asyncio.Future[None]:
        """Done when the worker has ended by itself, with work or without."""
        ...

    async def encode(self, texts: Sequence[str], urgent: bool) -> list[bytes]:
        """One vector a text, little-endian float32 of length 1.

        TransientError when the model fails, WorkerLostError when the worker does, PermanentError for texts or vectors
        that can't be right on a second try.
        """
        ...

    async def close(self) -> None: ...


class Embedder(Protocol):
    """A model. `least` to `most` workers are kept; an ingestion is encoded in portions of `portion` texts.

    A portion is as much as a customer's query may have to wait for.
    """

    least: int
    most: int
    portion: int

    @property
    def name(self) -> str: ...
    @property
    def dimensions(self) -> int: ...

    async def start(self) -> None:
        """Make ready what workers need; SettingsError where that is missing."""
        ...

    async def worker(self) -> Worker:
        """A worker that is ready; TransientError `embedding_unavailable` when there can't be one just now."""
        ...

    async def close(self) -> None: ...
