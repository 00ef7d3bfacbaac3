"""What all messages share: encoding, header names, identifiers, time."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from parley_proto.errors import PermanentError

T = TypeVar("T")

MSG_ID = "Nats-Msg-Id"
TRACEPARENT = "traceparent"
DEADLINE = "Parley-Deadline"
ID_PATTERN = re.compile(r"\A[A-Za-z0-9_-]{16,64}\Z")

_encoder = msgspec.json.Encoder()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


class Identity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who speaks, as the gateway authenticated them; never taken from a message's text.

    `principal` may open the conversation; `customer_id` is the record that the tools work on; `groups` are what the
    host says that they belong to, and what documents they may read by.
    """

    tenant: str
    principal: str
    customer_id: str
    name: str = ""
    groups: list[str] = []


def encode(message: msgspec.Struct) -> bytes:
    """JSON, readable with the nats CLI (msgspec costs microseconds: limits.md)."""
    return _encoder.encode(message)


def decode(data: bytes, kind: Any) -> Any:
    """`data` as `kind` (a Struct or a tagged union); PermanentError names what does not fit."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PermanentError(f"The message can't be read: {error}.", code="malformed") from error


def deadline_of(headers: Mapping[str, str], own: int) -> int:
    """Until when what a message asks for is wanted, milliseconds since 1970: the earlier of `own` and its header.

    PermanentError for a header that is no such number.
    """
    given = headers.get(DEADLINE, "")
    if not given:
        return own
    if not given.isascii() or not given.isdigit():
        raise PermanentError(f"{DEADLINE} must be milliseconds since 1970.", code="bad_header")
    return min(own, int(given[:16]))


def now_ms() -> int:
    """Wall clock, milliseconds since 1970. Leases use the monotonic clock instead."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str) -> str:
    """A server-minted id of 128 random bits that passes `ID_PATTERN` and never starts with a dash."""
    return prefix + secrets.token_urlsafe(16)


def digest(*parts: str) -> str:
    """A stable id of 32 hex digits from `parts`; lengths are mixed in, so that no two lists collide by joining."""
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()[:32]


def valid_id(value: str) -> bool:
    """True for ids that may stand in a subject (reliability.md: `a.b` reached another subject)."""
    return ID_PATTERN.match(value) is not None
