"""The object store `documents`, read with leader reads: no consumer to make, and no right but to read and to purge.

The layout is that of the NATS clients (ADR-20): an object's metadata under its base64 name, its chunks under a subject
of their own, and a SHA-256 over them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client

from parley_mesh.errors import CLIENT_ERRORS, from_api, from_client
from parley_mesh.jetstream import NatsBus
from parley_proto.errors import PermanentError
from parley_proto.subjects import DOCUMENTS_BUCKET, DOCUMENTS_STREAM

_META = f"$O.{DOCUMENTS_BUCKET}.M."
_CHUNKS = f"$O.{DOCUMENTS_BUCKET}.C."
_TIMEOUT_S = 5.0


class Stored(msgspec.Struct, frozen=True):
    """What an object's metadata says: `digest` as 'SHA-256=<base64url>', `size` in bytes."""

    name: str
    nuid: str
    size: int = 0
    digest: str = ""
    deleted: bool = False


class Bucket:
    """The objects of the bucket. Every method raises TransientError when NATS does not answer."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._bus = NatsBus(client, DOCUMENTS_STREAM)

    async def names(self, prefix: str) -> list[str]:
        """The names that start with `prefix`, sorted."""
        found: list[str] = []
        while True:
            info = await self._call("INFO", {"subjects_filter": f"{_META}>", "offset": len(found)})
            subjects = info["state"].get("subjects") or {}
            found += [_name_of(subject) for subject in subjects]
            if not subjects or len(found) >= info.get("total", 0):
                return sorted(name for name in found if name.startswith(prefix))

    async def info(self, name: str) -> Stored | None:
        """The metadata of an object; None where there is none of that name."""
        stored = await self._bus.last(_META + _encoded(name))
        found = msgspec.json.decode(stored.data, type=Stored) if stored and stored.data else None
        return None if found is None or found.deleted else found

    async def fetch(self, stored: Stored, path: Path) -> None:
        """Write an object into the file `path`; PermanentError `half_an_object` where its bytes are not all there."""
        digest = hashlib.sha256()
        with path.open("wb") as file:
            async for chunk in self._chunks(stored):
                digest.update(chunk)
                file.write(chunk)
        if stored.digest and _bytes_of(stored.digest) != digest.digest():
            raise PermanentError("its bytes are not those that were sent: send it again", code="half_an_object")

    async def remove(self, stored: Stored) -> None:
        """Purge an object: its chunks, then its metadata."""
        for subject in (_CHUNKS + stored.nuid, _META + _encoded(stored.name)):
            await self._call("PURGE", {"filter": subject})

    async def _chunks(self, stored: Stored) -> AsyncIterator[bytes]:
        at, left = 0, stored.size
        while left > 0:
            message = await self._bus.next(_CHUNKS + stored.nuid, at)
            if message is None:
                return
            at, left = message.seq, left - len(message.data)
            yield message.data

    async def _call(self, api: str, body: dict[str, Any]) -> dict[str, Any]:
        subject = f"$JS.API.STREAM.{api}.{DOCUMENTS_STREAM}"
        try:
            reply = await self._client.request(subject, msgspec.json.encode(body), timeout=_TIMEOUT_S)
        except CLIENT_ERRORS as error:
            raise from_client(subject, error) from error
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        if "error" in answer:
            raise from_api(subject, answer["error"].get("err_code", 0), answer["error"].get("description", ""))
        return answer


def _encoded(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of(subject: str) -> str:
    return base64.urlsafe_b64decode(subject.removeprefix(_META)).decode("utf-8", "replace")


def _bytes_of(digest: str) -> bytes:
    encoded = digest.partition("=")[2]
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
