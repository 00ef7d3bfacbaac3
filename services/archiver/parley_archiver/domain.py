"""What a message of the log is, whose it is, and what the archive keeps of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import msgspec

from parley_proto.conversation import (
    CancelRequested,
    CustomerMessage,
    Entry,
    FeedbackGiven,
    PersonRequested,
    Shown,
)
from parley_proto.envelope import TRACEPARENT, Identity, digest, valid_id
from parley_proto.specialist import DeadLetter, Effect, Step, Work

UNKNOWN = "unknown"
CHECKPOINT = "Checkpoint"
MAX_NAME = 128
_TRACEPARENT = re.compile(r"\A[0-9a-f]{2}-([0-9a-f]{32})-")
_SPOKEN = ("customer", "assistant", "system")


def is_record(subject: str) -> bool:
    """What the record keeps: all but deadlines to come, and checkpoints, of which the newest is kept for itself.

    The durable has no filter: with one of five subjects the server hands over a tenth of what it can (measured).
    """
    return not subject.startswith(("$KV.", "due."))


def _tags(union: Any) -> frozenset[str]:
    return frozenset(str(kind.__struct_config__.tag) for kind in get_args(union))


_KNOWN = {"conv": _tags(Entry), "turn": _tags(Work), "out": _tags(Shown), "step": _tags(Step), "effect": _tags(Effect)}
_KNOWN["dead"] = frozenset({DeadLetter.__name__})
_FROM_CUSTOMER = _tags(CustomerMessage | CancelRequested | PersonRequested | FeedbackGiven)


class Owner(msgspec.Struct, frozen=True):
    """Whose a message is. `root` is the id of the customer's first key; `known` is False for a tenant's own key."""

    tenant: str
    root: str
    known: bool = True


class Facts(msgspec.Struct, frozen=True):
    """What the archive can say of a message without its words; '' where there is nothing to say."""

    type: str
    role: str
    conversation: str
    turn_id: str
    trace: str
    identity: Identity | None
    owner: str


class Columns(msgspec.Struct, frozen=True, array_like=True):
    """The readable columns of a row, in the order in which the digest and the cipher bind them."""

    tenant: str
    stream: str
    seq: int
    at: int
    conversation: str
    subject: str
    type: str
    role: str
    turn_id: str
    trace: str
    key_id: str


class Row(msgspec.Struct, frozen=True):
    """One message in the archive: `digest` = SHA-256(salt || envelope || ciphertext)."""

    columns: Columns
    salt: bytes
    nonce: bytes
    ciphertext: bytes
    digest: bytes


class Sealed(msgspec.Struct, frozen=True):
    """A row that is to be written. `root` is None where no customer is known; `owner` is a new owning specialty."""

    row: Row
    root: str | None
    owner: str


class Change(msgspec.Struct, frozen=True):
    """What a batch adds to a conversation. Times in milliseconds; `owner_seq` is 0 where the owner did not change."""

    tenant: str
    conversation: str
    root: str | None
    first_at: int
    last_at: int
    messages: int
    last_seq: int
    owner: str
    owner_seq: int


class _Head(msgspec.Struct, frozen=True):
    type: str = ""
    conversation: str = ""
    turn_id: str = ""
    role: str = ""
    owner: str = ""
    identity: Identity | None = None


_heads = msgspec.json.Decoder(_Head)


def recognise(subject: str, data: bytes, headers: Mapping[str, str]) -> Facts:
    """The facts of a message; never raises, what can't be read has the type `unknown`."""
    head = _head(data)
    family, *ids = subject.split(".")
    kind = CHECKPOINT if family == "$KV" else head.type if head.type in _KNOWN.get(family, ()) else UNKNOWN
    conversation, turn_id = _named(family, ids)
    return Facts(
        type=kind,
        role=_role(kind, head.role),
        conversation=_id(conversation or head.conversation),
        turn_id=_id(turn_id or head.turn_id),
        trace=_trace(headers),
        identity=head.identity if head.identity and _sound(head.identity) else None,
        owner=head.owner if kind == "OwnerChanged" and is_plain(head.owner) else "",
    )


def owner_of(identity: Identity) -> Owner:
    """Whose key a customer's messages are under. A guest without a customer record has a key by principal."""
    if identity.customer_id:
        return Owner(identity.tenant, digest(identity.tenant, identity.customer_id))
    return Owner(identity.tenant, digest(identity.tenant, "principal", identity.principal))


def tenants_own(tenant: str) -> Owner:
    """Where a message goes that names no customer."""
    return Owner(tenant, digest(tenant), known=False)


def successor(key_id: str) -> str:
    """The id of the key that follows an erased one: a customer who comes back starts afresh."""
    return digest(key_id, "successor")


def is_plain(value: str) -> bool:
    """True for 1 to 128 printable characters: what a text column and a log line can hold."""
    return 0 < len(value) <= MAX_NAME and value.isprintable()


def storable(subject: str) -> str:
    """A subject as a text column can hold it: PostgreSQL refuses NUL, and NATS does not."""
    return subject if subject.isprintable() else subject.encode("unicode_escape").decode()


def envelope(columns: Columns, nonce: bytes) -> bytes:
    """The bytes that stand for a row's readable part: a JSON array of the columns, then the nonce in hex."""
    return msgspec.json.encode([columns, nonce.hex()])


def changes(written: Iterable[Sealed]) -> list[Change]:
    """What the newly written rows add to their conversations, in a fixed order, so that two writers can't deadlock."""
    found: dict[tuple[str, str], Change] = {}
    for sealed in written:
        key = (sealed.row.columns.tenant, sealed.row.columns.conversation)
        if key[1]:
            found[key] = _added(found.get(key), sealed)
    return [found[key] for key in sorted(found)]


def _added(change: Change | None, sealed: Sealed) -> Change:
    row = sealed.row.columns
    change = change or Change(row.tenant, row.conversation, None, row.at, row.at, 0, 0, "", 0)
    is_newer = bool(sealed.owner) and row.seq > change.owner_seq
    return msgspec.structs.replace(
        change,
        root=change.root or sealed.root,
        first_at=min(change.first_at, row.at),
        last_at=max(change.last_at, row.at),
        messages=change.messages + 1,
        last_seq=max(change.last_seq, row.seq),
        owner=sealed.owner if is_newer else change.owner,
        owner_seq=row.seq if is_newer else change.owner_seq,
    )


class Batching(msgspec.Struct, frozen=True):
    """When what has arrived is written: at `count` messages, at `size` bytes, or `linger_s` after the first."""

    count: int
    size: int
    linger_s: float

    def is_full(self, count: int, size: int) -> bool:
        return count >= self.count or size >= self.size

    def left_s(self, waited_s: float) -> float:
        """How long a batch that is not full may still wait; 0 when it is due."""
        return max(0.0, self.linger_s - waited_s)

    def cut(self, sizes: Iterable[int]) -> int:
        """How many of the oldest messages make one batch: at least one, however large."""
        total = 0
        for number, size in enumerate(sizes):
            total += size
            if number >= self.count or (number and total > self.size):
                return number
        return self.count


def wait_before(attempt: int, luck: float) -> float:
    """Seconds before another attempt: 0.1 to 5, doubling from `attempt` 0; `luck` (0 to 1) spreads the writers."""
    return float(min(0.2 * 2 ** min(attempt, 10), 5.0) * (0.5 + 0.5 * luck))


def _head(data: bytes) -> _Head:
    try:
        return _heads.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Head()


def _named(family: str, ids: list[str]) -> tuple[str, str]:
    """Conversation and turn that a subject names."""
    match family, ids:
        case "conv", [_, conversation]:
            return conversation, ""
        case "$KV", [_, conversation]:
            return conversation, ""
        case "out", [conversation]:
            return conversation, ""
        case "step", [conversation, turn_id]:
            return conversation, turn_id
    return "", ""


def _role(kind: str, role: str) -> str:
    """Who speaks: the customer, what the customer is shown (assistant, system), or the mesh to itself."""
    if kind in _FROM_CUSTOMER:
        return "customer"
    if kind == "MessageShown" and role in _SPOKEN:
        return role
    return "system" if kind in _KNOWN["out"] else "mesh"


def _sound(identity: Identity) -> bool:
    return is_plain(identity.tenant) and is_plain(identity.customer_id or identity.principal)


def _id(value: str) -> str:
    return value if valid_id(value) else ""


def _trace(headers: Mapping[str, str]) -> str:
    found = _TRACEPARENT.match(headers.get(TRACEPARENT, ""))
    return found.group(1) if found else ""
