"""Versions, tags and a new embedding of the table: what LanceDB keeps, put into words."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pyarrow as pa

from parley_proto.errors import PermanentError
from parley_rag.chunking import heading_of
from parley_rag.lance import TABLE, LanceStore
from parley_rag.schema import HEADING, dimensions_of, model_of, schema_for, vectors_to_arrow

Embed = Callable[[Sequence[str]], Awaitable[list[bytes]]]

_NEXT = "knowledge_next"
_STEP = 256
_TAG = re.compile(r"\A[A-Za-z][A-Za-z0-9._-]{0,62}\Z")


class Versions:
    """The table in time. Every method raises TransientError `knowledge_unavailable`."""

    def __init__(self, store: LanceStore) -> None:
        self._store = store

    async def facts(self) -> dict[str, Any]:
        """Rows, model, version, indexes and size of the table."""
        async with self._store.table() as table:
            schema = await table.schema()
            # Declared as an object, a dictionary in truth.
            stats: Any = await table.stats()
            indexes = {
                index.name: f"{index.index_type}, {index.num_unindexed_rows or 0:,} rows not in it yet"
                for index in await table.list_indices()
            }
            return {
                "rows": await table.count_rows(),
                "model": model_of(schema),
                "dimensions": dimensions_of(schema),
                "version": await table.version(),
                "bytes": stats["total_bytes"],
            } | {f"index {name}": said for name, said in indexes.items()}

    async def listed(self) -> list[dict[str, Any]]:
        """Every version that is kept, newest first, with its time and tags."""
        async with self._store.table() as table:
            tags = await self._tags()
            kept = await table.list_versions()  # type: ignore[no-untyped-call]
        return [
            {
                "version": one["version"],
                "at": one["timestamp"].isoformat(timespec="seconds"),
                "tags": ", ".join(sorted(name for name, version in tags.items() if version == one["version"])),
            }
            for one in sorted(kept, key=lambda one: -int(one["version"]))
        ]

    async def tag(self, name: str) -> int:
        """Name the present version; clean-up keeps it. PermanentError for what can't be a tag.

        A tag is kept as a branch: with a tag of LanceDB's own every later clean-up fails (tried with 0.40).
        """
        if not _TAG.match(name):
            raise PermanentError(
                f"{name[:40]!r} can't be a tag: begin with a letter, then letters, digits, . _ and dashes.",
                code="bad_tag",
            )
        async with self._store.table() as table:
            version = int(await table.version())
            if name in await self._tags():
                await table.branches.delete(name)
            await table.branches.create(name, from_version=version)
        return version

    async def version_of(self, name: str) -> int | None:
        """The version that a number or a tag means; None where there is none such."""
        async with self._store.table() as table:
            if name.isascii() and name.isdigit():
                listed = await table.list_versions()  # type: ignore[no-untyped-call]
                return int(name) if int(name) in {int(one["version"]) for one in listed} else None
            return (await self._tags()).get(name)

    async def restore(self, version: int) -> int:
        """Make `version` the present one, as a new version; its number."""
        async with self._store.table() as table:
            await table.restore(version)
            return int(await table.version())

    async def reindex(self, embed: Embed, model: str, dimensions: int) -> int:
        """Embed every row anew with `model`; how many. The old vectors stay a version that can be restored.

        The new table is made beside the old one, which answers meanwhile where it can.
        """
        schema = schema_for(model, dimensions)
        async with self._store.translated():
            connection = await self._store.connect()
            old = await connection.open_table(TABLE)
            new = await connection.create_table(_NEXT, schema=schema, mode="overwrite")
            columns = [name for name in schema.names if name not in ("vector", HEADING)]
            async for batch in await old.query().select(columns).to_batches():
                for part in _parts(batch):
                    await new.add(await _embedded(part, schema, embed))
            made = await new.to_arrow()
            await connection.create_table(TABLE, made.cast(schema), mode="overwrite")
            await connection.drop_table(_NEXT)
        self._store.reopen()
        return int(made.num_rows)

    async def _tags(self) -> dict[str, int]:
        async with self._store.table() as table:
            return {name: int(one["parent_version"]) for name, one in (await table.branches.list()).items()}


async def _embedded(part: pa.Table, schema: pa.Schema, embed: Embed) -> pa.Table:
    """`part` with the vectors that it lacks."""
    texts = part["indexed"].to_pylist()
    names = part.select(["title", "section"]).to_pylist()
    headings = [heading_of(one["title"], one["section"], text) for one, text in zip(names, texts, strict=True)]
    wanted = list(dict.fromkeys([*texts, *headings]))
    vectors = dict(zip(wanted, await embed(wanted), strict=True))
    for name, said in (("vector", texts), (HEADING, headings)):
        field = schema.field(name)
        part = part.append_column(field, vectors_to_arrow([vectors[text] for text in said], field.type))
    return part.cast(schema)


def _parts(batch: pa.RecordBatch) -> list[pa.Table]:
    whole = pa.Table.from_batches([batch])
    return [whole.slice(at, _STEP) for at in range(0, whole.num_rows, _STEP)]
