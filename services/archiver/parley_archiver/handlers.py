"""What the archiver is asked: a conversation as the record has it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley_archiver import metrics
from parley_archiver.adapters import Store
from parley_archiver.domain import Row, is_plain
from parley_archiver.keyring import Keyring
from parley_archiver.sealing import DamagedError, unseal
from parley_mesh.telemetry import log
from parley_proto.archive import Record, TranscriptReply, TranscriptRequest
from parley_proto.envelope import decode, valid_id
from parley_proto.errors import PermanentError

MAX_RECORDS = 2000
# Around the records stand the reply's own braces and NATS' headers.
FRAME_BYTES = 1024

ERASED = {"erased": True}
DAMAGED = {"damaged": True}


class Transcripts:
    """Answers `archive.transcript` from the record; `max_bytes` is what one message of NATS can carry."""

    def __init__(self, store: Store, keyring: Keyring, *, max_bytes: int) -> None:
        self._store = store
        self._keyring = keyring
        self._max_bytes = max_bytes - FRAME_BYTES

    async def answer(self, data: bytes, headers: Mapping[str, str]) -> bytes:
        """A `TranscriptReply`: the newest records that fit, in the log's order.

        PermanentError `unknown_conversation`; TransientError without PostgreSQL or NATS.
        """
        request: TranscriptRequest = decode(data, TranscriptRequest)
        rows = await self._rows(request)
        ciphers = await self._keyring.for_reading(row.columns.key_id for row in rows)
        # Thousands of decryptions must not hold up the loop that answers health checks.
        return await asyncio.to_thread(_reply, rows, ciphers, self._max_bytes)

    async def _rows(self, request: TranscriptRequest) -> list[Row]:
        rows: list[Row] = []
        if valid_id(request.conversation) and is_plain(request.tenant):
            await self._store.prepare()
            rows = await self._store.transcript(request.tenant, request.conversation, MAX_RECORDS, self._max_bytes)
        if not rows:
            raise PermanentError(
                f"The archive has no conversation {request.conversation[:64]!r} of tenant {request.tenant[:64]!r}.",
                code="unknown_conversation",
            )
        return rows


def _reply(rows: Sequence[Row], ciphers: Mapping[str, AESGCM], max_bytes: int) -> bytes:
    newest_first = [_record(row, ciphers.get(row.columns.key_id)) for row in reversed(rows)]
    sizes = accumulate(len(msgspec.json.encode(record)) + 1 for record in newest_first)
    fitting = [record for record, total in zip(newest_first, sizes, strict=True) if total <= max_bytes]
    return msgspec.json.encode(TranscriptReply(fitting[::-1]))


def _record(row: Row, cipher: AESGCM | None) -> Record:
    columns = row.columns
    return Record(columns.seq, columns.subject, columns.type, columns.at, _body(row, cipher))


def _body(row: Row, cipher: AESGCM | None) -> dict[str, Any]:
    """The decrypted body; `erased` or `damaged` where there is none any more, `bytes` where it is no JSON object."""
    if cipher is None:
        return ERASED
    try:
        return _object(unseal(row, cipher))
    except DamagedError:
        metrics.DAMAGED.inc()
        log("parley.archiver").error("an archived row was changed", extra={"seq": row.columns.seq})
        return DAMAGED


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"bytes": base64.b64encode(body).decode()}
