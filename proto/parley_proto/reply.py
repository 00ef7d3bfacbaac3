"""How a request over NATS fails: the same shape from every service."""

from __future__ import annotations

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """Sent instead of an answer, with the header `Parley-Error: <code>`."""

    code: str
    message: str
    retryable: bool = False
