"""NATS's wildcards."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=10_000)
def matches(pattern: str, subject: str) -> bool:
    """Whether `subject` falls under `pattern`: `*` is one token, `>` the rest (one or more)."""
    wanted, found = pattern.split("."), subject.split(".")
    for index, token in enumerate(wanted):
        if token == ">":
            return len(found) > index
        if index >= len(found) or token not in ("*", found[index]):
            return False
    return len(wanted) == len(found)
