"""Which regular expressions of tool schemas are safe to search with: they come from callers. Pure."""

from __future__ import annotations

import re

_LONGEST = 200
_MOST_ENDLESS = 4
_SMALL = 3
_ATOM = re.compile(r"\\.|\[\^?\]?[^\]]*\]")
_ENDLESS = re.compile(r"[+*]|\{\d*,\}")
_COUNTED = re.compile(r"\{\d*,?(\d+)\}")
_BACKREFERENCE = re.compile(r"\\[1-9]|\(\?P=")


def safe_pattern(pattern: str) -> re.Pattern[str] | None:
    """`pattern` compiled; None for one that is wrong, or that could take exponential time on a short text.

    That takes a repeated group with a repetition or a choice inside ((a+)+, (a|a)*), or many endless repetitions.
    """
    if len(pattern) > _LONGEST or _BACKREFERENCE.search(pattern) or _is_risky(_ATOM.sub("x", pattern)):
        return None
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _is_risky(plain: str) -> bool:
    if len(_ENDLESS.findall(plain)) + sum(int(most) > 9 for most in _COUNTED.findall(plain)) > _MOST_ENDLESS:
        return True
    opened: list[int] = []
    for place, char in enumerate(plain):
        if char == "(":
            opened.append(place)
        elif char == ")" and opened:
            inside = plain[opened.pop() + 1 : place]
            if _repeats(plain[place + 1 :]) and _varies(inside):
                return True
    return False


def _repeats(rest: str) -> bool:
    """Whether what stands before `rest` may come more than a few times."""
    counted = _COUNTED.match(rest)
    return bool(_ENDLESS.match(rest)) or bool(counted and int(counted[1]) > _SMALL)


def _varies(inside: str) -> bool:
    """Whether a group can match the same text in several ways."""
    return "|" in inside or bool(_ENDLESS.search(inside)) or any(int(n) > _SMALL for n in _COUNTED.findall(inside))
