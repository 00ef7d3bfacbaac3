"""When a conversation may leave the log: only what rests, and only behind what the archive has committed. Pure."""

from __future__ import annotations

import msgspec

from parley_archiver.checkpoints import Kept
from parley_mesh.bus import Stored
from parley_proto.archive import RETIRED
from parley_proto.errors import TransientError

MARKER = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": "never"}


class NotYetError(TransientError):
    """The conversation has to stay in the log for now; its text says why."""

    code = "not_yet"


class Seen(msgspec.Struct, frozen=True):
    """What log and archive say of one conversation. All numbers are sequences of the log, 0 for none.

    `committed` was read first: whatever came to the log later has a higher number. Up to it the archive holds
    everything; `archived` is the newest message that it has of this conversation, `entry` the newest in the log, and
    up to `handled` the owner is done.
    """

    head: Stored
    kept: Kept
    committed: int
    archived: int
    entry: int
    handled: int


def marker_of(revision: int) -> dict[str, str]:
    """The headers of the marker that stands for an archived checkpoint: a KV purge that says which one."""
    return MARKER | {RETIRED: str(revision)}


def revision_of(head: Stored) -> int:
    """The revision that the log's checkpoint is or stands for, 0 for somebody else's marker."""
    if head.data:
        return head.seq
    said = head.headers.get(RETIRED, "")
    return int(said) if said.isdecimal() else 0


def obstacle(seen: Seen, before: int) -> str:
    """Why the conversation stays, '' when it may go. `before`: it must have come to rest by then, milliseconds."""
    if seen.kept.revision != revision_of(seen.head):
        return "Its newest checkpoint is not in the archive yet."
    if not seen.kept.rests_since:
        return "A turn is open or messages wait in it."
    if seen.kept.rests_since > before:
        return "It has not rested long enough."
    if max(seen.kept.revision, seen.entry) > seen.committed or seen.entry > seen.archived:
        return "Its newest message is not in the archive yet."
    if seen.entry > seen.handled:
        return "Its newest message has not been handled yet."
    return ""
