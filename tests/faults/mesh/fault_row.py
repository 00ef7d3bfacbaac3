"""What one row of the table is: a fault, how often it strikes, how soon customers must be served again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from fault_world import World

Strike = Callable[[World], Awaitable[None]]
Stage = Callable[[World], AbstractAsyncContextManager[None]]


class Budget(NamedTuple):
    """Seconds at most from a strike to the first message accepted and to the first one answered."""

    p50: float
    p99: float

    def __str__(self) -> str:
        return f"{self.p50:g} / {self.p99:g}"


# Issue 5, 'It must show': a service is replaced in 5 s, and the engine's own election takes 4 to 9 s.
SERVICE = Budget(5, 5)
NODE = Budget(10, 15)
_AFTER_S = 15.0


def lasting(seconds: float) -> Budget:
    """Of a fault during which nobody can be served, and which lasts `seconds` itself."""
    return Budget(seconds + _AFTER_S, seconds + _AFTER_S)


class Row(NamedTuple):
    """One fault. `strikes` is how often it strikes in a run; `stage` prepares what the mesh must be started with;
    a strike that takes longer than `patience_s` has failed.
    """

    name: str
    strike: Strike
    strikes: int
    within: Budget = SERVICE
    stage: Stage | None = None
    patience_s: float = 240.0
