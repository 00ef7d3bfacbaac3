"""Pure functions of a text that remember what they made of it: tools, articles and notices come again every turn."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")
# So many texts a function, and none that is longer (characters): customers must not be able to fill the memory.
_TEXTS, _LONGEST = 4096, 2000


def remembered(function: Callable[[str], T]) -> Callable[[str], T]:
    """`function`, which must be pure, with the results for its last texts kept."""
    kept = lru_cache(maxsize=_TEXTS)(function)

    @wraps(function)
    def look_up(text: str) -> T:
        return kept(text) if len(text) <= _LONGEST else function(text)

    return look_up
