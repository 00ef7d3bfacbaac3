"""Questions to the archiver: a conversation as the record has it, and its way out of the log and back."""

from __future__ import annotations

from typing import Any

import msgspec

from parley_proto.conversation import Checkpoint

# On the marker that stands for an archived checkpoint: the revision that the archive holds.
RETIRED = "Parley-Retired"


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


class CheckpointRequest(msgspec.Struct, frozen=True):
    conversation: str


class CheckpointReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest checkpoint in the archive and its revision in the log.

    Of an erased customer's only counters and message ids are left: no words, and nobody's identity.
    """

    checkpoint: Checkpoint
    revision: int
    erased: bool = False


class RetireRequest(msgspec.Struct, frozen=True):
    """Take a conversation that rests out of the log, whatever its age."""

    conversation: str


class RetireReply(msgspec.Struct, frozen=True):
    """The revision that the archive now holds alone."""

    revision: int
