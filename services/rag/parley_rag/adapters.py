"""What the service needs from outside, as protocols: a model and a store of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from parley_rag.chunking import Chunk
from parley_rag.domain import Hit

Vector = npt.NDArray[np.float32]


class Row(msgspec.Struct, frozen=True):
    """A chunk of a tenant's document as it is stored. `origin` says who brought it: 'package' or 'ingest'."""

    tenant: str
    document: str
    title: str
    specialty: str
    origin: str
    content_hash: str
    chunk: Chunk
    vector: bytes


class Known(msgspec.Struct, frozen=True):
    """What the store has of a document."""

    content_hash: str
    origin: str


class Model(Protocol):
    """Texts to vectors of length 1. Blocks; raises TransientError."""

    name: str
    dimensions: int

    def encode(self, texts: Sequence[str]) -> Vector: ...


class Store(Protocol):
    """Windows of documents, by tenant. Every method raises TransientError `knowledge_unavailable`."""

    async def rows(self) -> int: ...

    async def known(self, tenant: str) -> dict[str, Known]:
        """Every document of `tenant` by its id."""
        ...

    async def replace(self, tenant: str, documents: Sequence[str], rows: Sequence[Row]) -> None:
        """Make `rows` all there is of `documents`: at once, so that no search sees half of it."""
        ...

    async def by_vector(self, vector: bytes, tenant: str, specialty: str, limit: int) -> list[Hit]: ...

    async def by_text(self, query: str, vector: bytes, tenant: str, specialty: str, limit: int) -> list[Hit]: ...

    async def tend(self) -> None:
        """Compact the table and take new rows into its indexes; some 20 ms."""
        ...

    async def index_vectors(self) -> None:
        """Build the vector index where the table has outgrown scanning; minutes for 50,000 windows."""
        ...

    def close(self) -> None: ...
