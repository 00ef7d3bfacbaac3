"""The end of the log: how far a durable has come, and cutting off what lies behind."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from nats.aio.client import Client

from parley_mesh.errors import CLIENT_ERRORS, from_api, from_client
from parley_mesh.topology import turn_consumer
from parley_proto import subjects
from parley_proto.errors import TransientError

TIMEOUT_S = 5.0


ALL_WORK = "turn.*.*.*"


def worker_of(subject: str) -> str:
    """The durable that takes the work on a subject `turn.<specialty>.<track>.<lane>`."""
    _, specialty, track, lane = subject.split(".")
    return turn_consumer(specialty, track, lane)


class LogEnd:
    """All raise TransientError where the log does not answer or refuses."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream

    async def floor(self, durable: str) -> int:
        """The sequence up to which everything was delivered to `durable` and acknowledged."""
        info = await self._call(f"CONSUMER.INFO.{self._stream}.{durable}", b"")
        return int(info["ack_floor"]["stream_seq"])

    async def trim(self, conversation: str, through: int) -> int:
        """Remove the entries of one conversation up to sequence `through`; how many there were.

        A purge without a filter would empty the log: both that there are name subjects and a last sequence.
        """
        return sum([await self._purge(entries, through) for entries in subjects.entries_of(conversation)])

    async def trim_work(self, archived: int) -> int:
        """Remove the work that is done, of all conversations, up to sequence `archived`; how much there was.

        It holds what a customer said. Work that its specialists have not acknowledged stays.
        """
        asked = msgspec.json.encode({"subjects_filter": ALL_WORK})
        info = await self._call(f"STREAM.INFO.{self._stream}", asked)
        removed = 0
        for subject in info["state"].get("subjects") or {}:
            # Where nobody can take it any more there is no durable: that must not keep the others.
            with suppress(TransientError):
                removed += await self._purge(subject, min(archived, await self.floor(worker_of(subject))))
        return removed

    async def _purge(self, entries: str, through: int) -> int:
        # The server keeps the sequence that it is given, and takes 0 for "all".
        body = msgspec.json.encode({"filter": entries, "seq": max(through, 0) + 1})
        return int((await self._call(f"STREAM.PURGE.{self._stream}", body))["purged"])

    async def _call(self, api: str, body: bytes) -> dict[str, Any]:
        subject = f"$JS.API.{api}"
        try:
            reply = await self._client.request(subject, body, timeout=TIMEOUT_S)
        except CLIENT_ERRORS as error:
            raise from_client(subject, error) from error
        found: dict[str, Any] = msgspec.json.decode(reply.data)
        if refused := found.get("error"):
            raise from_api(subject, refused["err_code"], refused["description"])
        return found
