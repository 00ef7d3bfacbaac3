"""Real LanceDB tables for tests of snapshots: made, changed, searched, damaged."""

from __future__ import annotations

import os
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, HnswSq
from lancedb.table import AsyncTable

from parley_rag.snapshots.places import place_at

BUCKET = "knowledge"
NAME = "knowledge"
ROWS = 3_000
_DIMENSIONS = 32
_WORDS = ["refund", "parcel", "invoice", "router", "password", "return", "battery", "warranty"]


def path_of(database: str) -> str:
    return f"{database}/{NAME}.lance"


def rows(first: int, count: int, word: str) -> pa.Table:
    numbers = range(first, first + count)
    vectors = np.random.default_rng(first).random((count, _DIMENSIONS), np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), _DIMENSIONS)
    texts = [f"{word} {_WORDS[number % len(_WORDS)]} number {number}" for number in numbers]
    return pa.table({"number": pa.array(numbers, pa.int64()), "text": texts, "vector": column})


async def make(database: str) -> None:
    connection = await lancedb.connect_async(database)
    table = await connection.create_table(NAME, rows(0, ROWS, "first"))
    await table.create_index("text", config=FTS())
    await table.create_index("vector", config=HnswSq(distance_type="cosine", num_partitions=1))
    await change(path_of(database), 100, 50, "second")
    await table.delete("number >= 40 and number < 60")


async def opened(table: str) -> AsyncTable:
    """Anew, as a process that starts would."""
    connection = await lancedb.connect_async(table.rsplit("/", 1)[0])
    return await connection.open_table(NAME)


async def change(table: str, first: int, count: int, word: str) -> None:
    """One more version: rows are replaced or added."""
    there = await opened(table)
    merge = there.merge_insert(["number"]).when_matched_update_all().when_not_matched_insert_all()
    await merge.execute(rows(first, count, word))


async def answers(table: str) -> dict[str, Any]:
    """What a few searches find, every row's text, and how many versions there are to go back to."""
    there = await opened(table)
    query = np.random.default_rng(7).random(_DIMENSIONS, np.float32)
    near = await there.query().nearest_to(query).distance_type("cosine").ef(200).limit(10).to_arrow()
    words = await there.query().nearest_to_text("refund number", columns="text").limit(10).to_arrow()
    everything = await there.query().select(["number", "text"]).to_arrow()
    return {
        "near": near["number"].to_pylist(),
        "words": sorted(words["_score"].to_pylist()),
        "texts": sorted(zip(everything["number"].to_pylist(), everything["text"].to_pylist(), strict=True)),
        "version": await there.version(),
        "versions": [one["version"] for one in await there.list_versions()],
    }


def damage(table: str, part: str) -> None:
    """Random bytes over every file of a part of the table; of all of it for ''.

    S3 counts time in seconds: it is done again until the time of each file shows that it was changed.
    """
    place = place_at(table)
    sound = set(place.found(part))
    assert sound
    while same := sound.intersection(place.found(part)):
        for file in same:
            place.write(file.path, [os.urandom(file.size)])
