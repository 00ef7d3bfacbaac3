"""The columns of the knowledge table, and what its schema remembers: which model its vectors are from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from parley_rag.adapters import Row
from parley_rag.requests import days

MODEL = b"parley.model"
KEY = "key"
# LanceDB's own, within one version of the table.
ROW_ID = "_rowid"
HEADING = "heading"
# What a search filters by, and what an ingestion looks rows up by. Not the key: a merge that goes by an index does
# not carry the keys that it inserts (lance issue 8949), so that two writers at once would double a row.
LOOKED_UP = ("tenant", "access", "specialty", "language", "valid_from", "valid_until", "document")
# With it two merges of one new key conflict, and the later one begins anew; without it both insert (tried).
_PRIMARY = {"lance-schema:unenforced-primary-key": "true", "lance-schema:unenforced-primary-key:position": "1"}
SHOWN = ["document", "number", "section_number", "title", "section", "specialty", "source", "passage", "start", "end"]

_OF_DOCUMENT = ("title", "specialty", "language", "access", "source")
_OF_CHUNK = ("number", "section", "section_number", "passage", "start", "end", "indexed")
_TEXTS = ("tenant", "document", *_OF_DOCUMENT, "origin", "content_hash", "section", "passage", "indexed")
_NUMBERS = ("valid_from", "valid_until", "number", "section_number", "start", "end")


def schema_for(model: str, dimensions: int) -> pa.Schema:
    """The table's schema for vectors of `dimensions` numbers made by `model`."""
    return pa.schema(
        [pa.field(KEY, pa.string(), nullable=False, metadata=_PRIMARY)]
        + [pa.field(name, pa.string()) for name in _TEXTS]
        + [pa.field(name, pa.int32()) for name in _NUMBERS]
        + [pa.field("vector", pa.list_(pa.float32(), dimensions))]
        # Only compared, never searched: half the bytes lose nothing.
        + [pa.field(HEADING, pa.list_(pa.float16(), dimensions))],
        metadata={MODEL: model.encode()},
    )


def model_of(schema: pa.Schema) -> str:
    """The model that made the vectors; empty where the table does not say."""
    return str((schema.metadata or {}).get(MODEL, b"").decode())


def dimensions_of(schema: pa.Schema) -> int:
    return int(schema.field("vector").type.list_size)


def to_arrow(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """`rows` as the table holds them."""
    spans = [days(row.document) for row in rows]
    columns: dict[str, Any] = {
        KEY: [f"{row.tenant}/{row.document.document_id}#{row.chunk.number}" for row in rows],
        "tenant": [row.tenant for row in rows],
        "document": [row.document.document_id for row in rows],
        "origin": [row.origin for row in rows],
        "content_hash": [row.content_hash for row in rows],
        "valid_from": [first for first, _ in spans],
        "valid_until": [last for _, last in spans],
    }
    columns |= {name: [getattr(row.document, name) for row in rows] for name in _OF_DOCUMENT}
    columns |= {name: [getattr(row.chunk, name) for row in rows] for name in _OF_CHUNK}
    columns["vector"] = vectors_to_arrow([row.vector for row in rows], schema.field("vector").type)
    columns[HEADING] = vectors_to_arrow([row.heading for row in rows], schema.field(HEADING).type)
    return pa.table(columns, schema=schema)


def vectors_to_arrow(vectors: Sequence[bytes], kind: pa.FixedSizeListType) -> pa.FixedSizeListArray:
    """Little-endian float32 vectors as a column of `kind`."""
    numbers = np.frombuffer(b"".join(vectors), "<f4").astype(kind.value_type.to_pandas_dtype())
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers), type=kind)


def vectors_to_numpy(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """A column of vectors as rows of float32."""
    numbers = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(numbers, np.float32).reshape(-1, column.type.list_size)
