"""Windows of documents as the knowledge table holds them, with random words and vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parley_proto.rag import Document
from parley_rag.adapters import Row
from parley_rag.chunking import Chunk
from parley_rag.lance import LanceStore

DIMENSIONS = 384
WORDS = ["refund", "invoice", "parcel", "password", "wallet", "voucher", "strap", "battery"]
RANDOM = np.random.default_rng(20261128)


def unit() -> bytes:
    vector = RANDOM.standard_normal(DIMENSIONS).astype(np.float32)
    return (vector / np.linalg.norm(vector)).tobytes()


def row(number: int, tenant: str = "default", text: str = "", access: str = "") -> Row:
    words = text or " ".join(RANDOM.choice(WORDS, 6))
    document = Document(
        document_id=f"d{number}",
        title="T",
        text=words,
        specialty=("billing", "technical", "")[number % 3],
        language=("en", "en-GB", "de", "")[number % 4],
        access=access or ("public", "staff")[number % 5 == 0],
    )
    chunk = Chunk(
        number=0, section="S", section_number=0, passage=words, start=0, end=len(words), indexed=words, heading="T"
    )
    return Row(tenant, document, "ingest", "h", chunk, unit(), unit())


async def written(store: LanceStore, rows: Sequence[Row]) -> None:
    for tenant in {one.tenant for one in rows}:
        mine = [one for one in rows if one.tenant == tenant]
        await store.replace(tenant, {one.document.document_id: 1 for one in mine}, mine)
