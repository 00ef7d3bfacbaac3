"""Do all copies of a stream hold the same? Decided from figures that each node gives of its own copy, without any I/O.

A flipped bit in one copy stays hidden: its node is healthy, and what was acknowledged is missing while it leads
(reliability.md, 'What the engine does under faults').
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

_FIGURES = ("messages", "bytes", "first_seq", "last_seq", "num_deleted", "num_subjects")
Verdict = Literal["same", "differs", "unreachable", "no majority"]


class Copy(msgspec.Struct, frozen=True):
    """What one node holds of a stream; all zero where it should hold one and has none."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    num_deleted: int = 0
    num_subjects: int = 0


Copies = Mapping[str, Copy | None]


class Finding(msgspec.Struct, frozen=True):
    """A stream's copies by node, None where the node did not answer, and the nodes that are not like most others."""

    stream: str
    copies: dict[str, Copy | None]
    verdict: Verdict
    odd: list[str] = []


def read(node: str, told: Any) -> dict[str, dict[str, Copy]]:
    """From one node's /jsz: for each stream its own copy, and empty ones for the others that should have one."""
    details = [detail for account in told.get("account_details") or [] for detail in account.get("stream_detail") or []]
    found: dict[str, dict[str, Copy]] = {}
    for detail in details:
        group = detail.get("cluster") or {}
        others = [group.get("leader", ""), *(peer["name"] for peer in group.get("replicas") or [])]
        found[detail["name"]] = dict.fromkeys(filter(None, others), Copy()) | {node: _copy(detail["state"])}
    return found


def merge(nodes: Mapping[str, Any]) -> dict[str, dict[str, Copy | None]]:
    """The copies of each stream, from every node's /jsz, None for a node that does not answer."""
    own = {node: read(node, told) for node, told in nodes.items() if told is not None}
    streams: dict[str, dict[str, Copy | None]] = {}
    for found in own.values():
        for stream, copies in found.items():
            streams.setdefault(stream, {}).update({node: None if node not in own else Copy() for node in copies})
    for node, found in own.items():
        for stream, copies in found.items():
            streams[stream][node] = copies[node]
    return {stream: copies for stream, copies in sorted(streams.items()) if len(copies) > 1}


def judge(stream: str, rounds: Sequence[Copies]) -> Finding:
    """Three looks at the copies of one stream, shortly one after the other.

    A copy is like another when each of its figures in the middle look lies between those of the other in the first and
    the last: what moved in between is nobody's fault. The odd ones are those not like most.
    """
    middle = rounds[1]
    nodes = sorted(middle)
    alike = max(([n for n in nodes if _alike(n, mine, rounds)] for mine in nodes), key=len, default=[])
    odd = [node for node in nodes if node not in alike]
    copies = {node: middle[node] for node in nodes}
    if not odd:
        return Finding(stream, copies, "same")
    if len(alike) <= len(nodes) // 2:
        return Finding(stream, copies, "no majority", odd)
    away = all(middle[node] is None for node in odd)
    return Finding(stream, copies, "unreachable" if away else "differs", odd)


def verdicts(findings: Sequence[Finding]) -> list[tuple[str, Verdict, list[str]]]:
    """What was found, without the figures."""
    return [(found.stream, found.verdict, found.odd) for found in findings]


def is_final(findings: Sequence[Finding], steady: bool) -> bool:
    """Whether looking on would tell nothing new: all are the same, or those that differ have long caught up."""
    bad = [found for found in findings if found.verdict != "same"]
    return not bad or (steady and all(found.verdict == "differs" and not _lags(found) for found in bad))


def to_mend(findings: Sequence[Finding], node: str) -> list[str]:
    """The streams that `node` should copy anew: it differs there, and all the others hold the same."""
    return [found.stream for found in findings if found.verdict == "differs" and found.odd == [node]]


def told(findings: Sequence[Finding]) -> str:
    """One sentence: where copies differ, or that none does."""
    bad = [found for found in findings if found.verdict != "same"]
    if not bad:
        return f"All copies of all streams ({len(findings)}) are the same."
    return " ".join(_sentence(found) for found in bad)


def _sentence(found: Finding) -> str:
    names = " and ".join(found.odd)
    match found.verdict:
        case "unreachable":
            return f"{names} can't be asked about {found.stream}."
        case "differs":
            return f"{names} differs in {found.stream}: `parley scrub --mend` copies it anew."
    return f"No majority agrees on {found.stream}."


def _lags(found: Finding) -> bool:
    last = {node: copy.last_seq for node, copy in found.copies.items() if copy}
    return any(last[node] < max(last.values()) for node in found.odd if node in last)


def _alike(node: str, reference: str, rounds: Sequence[Copies]) -> bool:
    before, middle, after = (found.get(reference) for found in rounds)
    mine = rounds[1][node]
    if mine is None or before is None or middle is None or after is None:
        return False
    return node == reference or all(_between(figure, before, mine, after) for figure in _FIGURES)


def _between(figure: str, before: Copy, mine: Copy, after: Copy) -> bool:
    ends = sorted((getattr(before, figure), getattr(after, figure)))
    return bool(ends[0] <= getattr(mine, figure) <= ends[1])


def _copy(state: Mapping[str, Any]) -> Copy:
    return Copy(**{figure: int(state.get(figure) or 0) for figure in _FIGURES})
