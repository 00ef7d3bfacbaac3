"""What an operator does to the table: `rag.table`, one function an action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from parley_mesh.telemetry import log
from parley_proto.envelope import decode, encode
from parley_proto.errors import PermanentError, TransientError
from parley_proto.rag import TableReply, TableRequest
from parley_rag.copies import Copies
from parley_rag.embedding import Encoder
from parley_rag.knowledge import Knowledge
from parley_rag.versions import Versions
from parley_rag.writer import Writer

Changed = Callable[[], Awaitable[None]]


class Operations:
    """`changed` tells every instance that another table is in place."""

    def __init__(
        self,
        knowledge: Knowledge,
        versions: Versions,
        copies: Copies,
        encoder: Encoder,
        writer: Writer,
        *,
        changed: Changed,
        more_facts: Callable[[], dict[str, Any]],
    ) -> None:
        self._knowledge = knowledge
        self._versions = versions
        self._copies = copies
        self._encoder = encoder
        self._writer = writer
        self._changed = changed
        self._more_facts = more_facts

    async def answer(self, data: bytes, _headers: dict[str, str]) -> bytes:
        request: TableRequest = decode(data, TableRequest)
        actions: dict[str, Callable[[TableRequest], Awaitable[TableReply]]] = {
            "stats": self._stats,
            "versions": self._list_versions,
            "snapshots": self._list_snapshots,
            "snapshot": self._snapshot,
            "tag": self._tag,
            "restore": self._restore,
            "reindex": self._reindex,
            "forget": self._forget,
        }
        return encode(await actions[request.action](request))

    async def _stats(self, _request: TableRequest) -> TableReply:
        trouble = {"trouble": self._copies.trouble} if self._copies.trouble else {}
        return TableReply("", facts=trouble | await self._versions.facts() | self._more_facts())

    async def _list_versions(self, _request: TableRequest) -> TableReply:
        rows = await self._versions.listed()
        return TableReply(f"{len(rows)} versions are kept.", rows=rows)

    async def _list_snapshots(self, _request: TableRequest) -> TableReply:
        rows = await self._copies.listed()
        return TableReply(f"{len(rows)} snapshots in {self._copies.where}.", rows=rows)

    async def _snapshot(self, request: TableRequest) -> TableReply:
        return TableReply(await self._copies.take(request.name))

    async def _tag(self, request: TableRequest) -> TableReply:
        async with self._writer.turn():
            version = await self._versions.tag(request.name)
        return TableReply(f"Version {version} is now named {request.name}.")

    async def _restore(self, request: TableRequest) -> TableReply:
        """A version or a tag of the table where it is sound and has it, else a snapshot.

        PermanentError `table_sound` where nothing is named and nothing is broken.
        """
        if not request.name and not self._copies.trouble:
            text = "No damage of the table has been seen: name what is to be put in its place (parley kb snapshots)."
            raise PermanentError(text, code="table_sound")
        async with self._writer.turn():
            version = await self._version_of(request.name)
            if version is not None:
                new = await self._versions.restore(version)
                said = f"Version {version} is back, as version {new}."
            else:
                said = await self._copies.restore(request.name)
        await self._changed()
        log("parley.rag").warning("table restored", extra={"said": said})
        return TableReply(said)

    async def _version_of(self, name: str) -> int | None:
        try:
            return await self._versions.version_of(name) if name else None
        except TransientError:
            # The table is damaged: then only a snapshot can help.
            return None

    async def _reindex(self, _request: TableRequest) -> TableReply:
        async def embed(texts: Any) -> list[bytes]:
            return await self._encoder.vectors(list(texts), remember=False, urgent=False)

        model = self._encoder.model
        async with self._writer.turn():
            rows = await self._versions.reindex(embed, model.name, model.dimensions)
        await self._changed()
        return TableReply(f"{rows:,} windows were embedded anew with {model.name}.")

    async def _forget(self, request: TableRequest) -> TableReply:
        if not await self._knowledge.forget(request.tenant, [request.name]):
            raise PermanentError(f"There is no document {request.name[:80]!r}.", code="unknown_document")
        return TableReply(f"Document {request.name} is forgotten.")
