"""What the archiver is asked: a conversation as the record has it, and the checkpoint that brings it back."""

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
from parley_archiver.checkpoints import Kept
from parley_archiver.domain import Row, is_plain
from parley_archiver.keyring import Keyring
from parley_archiver.sealing import DamagedError, unseal
from parley_mesh.telemetry import log
from parley_proto.archive import CheckpointReply, CheckpointRequest, Record, TranscriptReply, TranscriptRequest
from parley_proto.conversation import Checkpoint
from parley_proto.envelope import decode, encode, valid_id
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


class Checkpoints:
    """Answers `archive.checkpoint`: the newest checkpoint of a conversation, for its owner and the gateway."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def answer(self, data: bytes, headers: Mapping[str, str]) -> bytes:
        """A `CheckpointReply`; of an erased customer's what may remain.

        PermanentError `unknown_conversation` or `damaged`; TransientError without PostgreSQL or NATS.
        """
        request: CheckpointRequest = decode(data, CheckpointRequest)
        kept = await self._kept(request.conversation)
        cipher = (await self._keyring.for_reading([kept.row.columns.key_id])).get(kept.row.columns.key_id)
        body = _opened(kept, cipher) if cipher else kept.remains.encode()
        checkpoint: Checkpoint = decode(body, Checkpoint)
        metrics.RECALLED.inc()
        return encode(CheckpointReply(checkpoint, kept.revision, erased=cipher is None))

    async def _kept(self, conversation: str) -> Kept:
        kept = None
        if valid_id(conversation):
            await self._store.prepare()
            kept = await self._store.checkpoint(conversation)
        if kept is None:
            raise PermanentError(
                f"The archive has no checkpoint of conversation {conversation[:64]!r}.", code="unknown_conversation"
            )
        return kept


def _opened(kept: Kept, cipher: AESGCM) -> bytes:
    try:
        return unseal(kept.row, cipher)
    except DamagedError as error:
        metrics.DAMAGED.inc()
        log("parley.archiver").error("an archived checkpoint was changed", extra={"conversation": kept.conversation})
        raise PermanentError(
            f"The archived checkpoint of conversation {kept.conversation} was changed: restore it from a backup.",
            code="damaged",
        ) from error


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
