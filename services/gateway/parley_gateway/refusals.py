"""What is refused now and may be tried again: with the time after which that makes sense, never the same for all."""

from __future__ import annotations

import random

from parley_proto.errors import ParleyError, StreamFullError, TransientError

OVERLOADED_MS = 2000
UNAVAILABLE_MS = 1000


class Later(ParleyError):
    """`overloaded` or `rate_limited`: the same message may be sent again after `retry_ms`."""

    def __init__(self, message: str, *, code: str, retry_ms: int) -> None:
        super().__init__(message, code=code)
        self.retry_ms = retry_ms


def overloaded() -> Later:
    return Later("We are busy at the moment; send it again.", code="overloaded", retry_ms=jittered(OVERLOADED_MS))


def rate_limited(wait_ms: int) -> Later:
    return Later("Too much at once; wait a moment.", code="rate_limited", retry_ms=wait_ms)


def jittered(ms: int) -> int:
    """Around `ms`, so that those who were refused together do not come back together."""
    return round(ms * random.uniform(0.75, 1.5))


def retry_after(error: ParleyError) -> int:
    """Milliseconds after which another try may help; 0 when none will."""
    if isinstance(error, Later):
        return error.retry_ms
    if isinstance(error, StreamFullError):
        return jittered(OVERLOADED_MS)
    return jittered(UNAVAILABLE_MS) if isinstance(error, TransientError) else 0


def public_code(error: ParleyError) -> str:
    """The code that a client is told: what fails inside the mesh is one thing to it."""
    if isinstance(error, StreamFullError) or not isinstance(error, TransientError):
        return error.code
    return "unavailable"


def public_message(error: ParleyError) -> str:
    """The sentence for a client: subjects and servers are nothing to it."""
    if isinstance(error, StreamFullError):
        return "Parley is full at the moment; send it again in a few seconds."
    if isinstance(error, TransientError):
        return "Parley can't be reached at the moment; send it again, with the same id."
    return error.message
