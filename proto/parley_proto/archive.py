"""Questions to the archiver: a conversation as the record has it."""

from __future__ import annotations

from typing import Any

import msgspec


class TranscriptRequest(msgspec.Struct, frozen=True):
    conversation: str
    tenant: str = "default"


class Record(msgspec.Struct, frozen=True):
    """One archived message of the log: its stream sequence, subject, type and decrypted body."""

    seq: int
    subject: str
    type: str
    at: int
    body: dict[str, Any]


class TranscriptReply(msgspec.Struct, frozen=True):
    records: list[Record]
