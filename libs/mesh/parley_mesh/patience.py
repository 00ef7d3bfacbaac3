"""Asking again while it is worth waiting: the usual way to wait for another service, or for the log.

Whoever looks at more than the error between two tries has a loop of its own: the gateway's door, a completion that has
begun to stream, remote embeddings, and the administrator of streams.
"""

from __future__ import annotations

from collections.abc import Callable

from tenacity import AsyncRetrying, retry_if_exception, stop_after_delay, wait_exponential_jitter

from parley_proto.errors import TransientError


def passing(error: BaseException) -> bool:
    """Whether trying again may help."""
    return isinstance(error, TransientError)


def patient(seconds: float, again: Callable[[BaseException], bool] = passing) -> AsyncRetrying:
    """`async for attempt in patient(5): with attempt: …` tries for `seconds`, then raises what came last."""
    return AsyncRetrying(
        retry=retry_if_exception(again),
        stop=stop_after_delay(seconds),
        wait=wait_exponential_jitter(multiplier=0.1, max=1.0),
        reraise=True,
    )
