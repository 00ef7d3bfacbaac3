"""What the service needs from outside, as protocols: a model and a store of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from parley_proto.rag import Document
from parley_rag.chunking import Chunk
from parley_rag.domain import Hit
from parley_rag.requests import Scope

Vector = npt.NDArray[np.float32]


class Row(msgspec.Struct, frozen=True):
    """A chunk of a tenant's document as it is stored. `origin` says who brought it: 'package' or 'ingest'.

    `vector` stands for what the chunk says, `heading` for its title and section alone.
    """

    tenant: str
    document: Document
    origin: str
    content_hash: str
    chunk: Chunk
    vector: bytes
    heading: bytes


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

    async def version(self) -> tuple[int, int]:
        """What is another one after every write: how many tables there were, and the version of this one."""
        ...

    async def known(self, tenant: str, documents: Sequence[str] | None = None) -> dict[str, Known]:
        """Those of `documents` that are stored, by id; every document of `tenant` for None."""
        ...

    async def parts(self, tenant: str) -> list[str]:
        """The ids of all documents that are later parts of a long one (`…#part-2`)."""
        ...

    async def replace(self, tenant: str, counts: dict[str, int], rows: Sequence[Row]) -> None:
        """Make `rows` all there is of the documents in `counts`, which says how many rows each has now.

        Cut off in the middle, a document that was known before counts as changed, so that the next try completes it.
        """
        ...

    async def by_vector(self, vector: bytes, scope: Scope, limit: int) -> list[Hit]: ...

    async def by_text(self, query: str, vector: bytes, scope: Scope, limit: int) -> list[Hit]: ...

    async def tend(self) -> None:
        """Compact the table and take new rows into its indexes; some 20 ms."""
        ...

    async def index_vectors(self) -> None:
        """Build the vector index where the table has outgrown scanning; a minute for 100,000 windows."""
        ...
