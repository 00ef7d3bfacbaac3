"""What the archive keeps of a conversation's newest checkpoint, so that it can leave the log and come back. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from parley_archiver.domain import Row
from parley_mesh.bus import Stored
from parley_proto import subjects
from parley_proto.conversation import Checkpoint
from parley_proto.envelope import Identity, decode, encode
from parley_proto.errors import PermanentError

Place = tuple[int, str]
START: Place = (0, "")


class Kept(msgspec.Struct, frozen=True):
    """A sealed checkpoint, and what stays readable beside it.

    `remains` is a `Checkpoint` without a word of the customer's. `rests_since` is milliseconds, 0 while it is at work.
    """

    row: Row
    remains: str
    rests_since: int

    @property
    def conversation(self) -> str:
        return self.row.columns.conversation

    @property
    def revision(self) -> int:
        return self.row.columns.seq

    @property
    def place(self) -> Place:
        """Where it stands among those that rest, the longest first."""
        return self.rests_since, self.conversation


def newest(batch: Iterable[Stored]) -> list[tuple[Stored, Checkpoint]]:
    """The last checkpoint of each conversation in `batch`, in a fixed order, so that two writers can't deadlock.

    Left out are markers, and what can't be read as a checkpoint of the conversation that its subject names.
    """
    found: dict[str, tuple[Stored, Checkpoint]] = {}
    for stored in sorted(batch, key=lambda stored: stored.seq):
        checkpoint = _checkpoint(stored)
        if checkpoint:
            found[checkpoint.conversation] = stored, checkpoint
    return [found[conversation] for conversation in sorted(found)]


def keep(row: Row, checkpoint: Checkpoint) -> Kept:
    """`checkpoint` as the archive keeps it, sealed in `row`."""
    at_work = checkpoint.turn is not None or bool(checkpoint.queue)
    remains = encode(remains_of(checkpoint)).decode()
    return Kept(row, remains, 0 if at_work else checkpoint.updated_at)


def remains_of(checkpoint: Checkpoint) -> Checkpoint:
    """What may be kept of an erased customer's conversation: that it was, how far it came, which ids it has seen.

    The ids are digests of ids; the hashes of the words go, since short words can be guessed from them.
    """
    return Checkpoint(
        conversation=checkpoint.conversation,
        identity=Identity(checkpoint.identity.tenant, "", ""),
        opened_at=checkpoint.opened_at,
        last_in_seq=checkpoint.last_in_seq,
        epoch=checkpoint.epoch,
        turns=checkpoint.turns,
        recent=dict.fromkeys(checkpoint.recent, ""),
        updated_at=checkpoint.updated_at,
    )


def _checkpoint(stored: Stored) -> Checkpoint | None:
    if not stored.data or not stored.subject.startswith(f"$KV.{subjects.BUCKET}."):
        return None
    try:
        found: Checkpoint = decode(stored.data, Checkpoint)
    except PermanentError:
        # The owner can't read it either, so there is nothing to bring back; it stays in the log.
        return None
    return found if stored.subject.endswith(f".{found.conversation}") else None
