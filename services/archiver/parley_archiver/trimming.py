"""The end of the log: how far a durable has come, and cutting off what lies behind."""

from __future__ import annotations

from typing import Any

import msgspec
from nats.aio.client import Client

from parley_mesh.errors import CLIENT_ERRORS, from_api, from_client
from parley_proto import subjects

TIMEOUT_S = 5.0


class LogEnd:
    """Both raise TransientError where the log does not answer or refuses."""

    def __init__(self, client: Client, stream: str) -> None:
        self._client = client
        self._stream = stream

    async def floor(self, durable: str) -> int:
        """The sequence up to which everything was delivered to `durable` and acknowledged."""
        info = await self._call(f"CONSUMER.INFO.{self._stream}.{durable}", b"")
        return int(info["ack_floor"]["stream_seq"])

    async def trim(self, conversation: str, through: int) -> int:
        """Remove the entries of one conversation up to sequence `through`; how many there were.

        A purge without a filter would empty the log, so this is the only one, and its filters name the conversation.
        """
        removed = 0
        for entries in subjects.entries_of(conversation):
            # The server keeps the sequence that it is given, and takes 0 for "all".
            body = msgspec.json.encode({"filter": entries, "seq": max(through, 0) + 1})
            removed += int((await self._call(f"STREAM.PURGE.{self._stream}", body))["purged"])
        return removed

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
