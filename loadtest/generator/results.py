"""RESULTS.md: the last table of `make bench` with the machine, and the commit and settings of each run. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from generator.rows import Check

_HEAD = """# What Parley holds, measured

`make bench` writes this page; `make bench ARGS="--quick"` takes minutes instead of hours and says so here. Everything
runs on one machine: the mesh with its NATS and PostgreSQL, the customers, and the model provider, which is a fake one
(`parley_testkit.load_provider`) whose own time is taken off where the table says overhead. Telemetry is on.
"""
_HOW = """
Overhead is the greater of two: from when a message was due to the first word, and to the end of the answer, each
without what the provider took. CPU a turn is what all processes of a service used while the turns were answered.
"""


def markdown(
    checks: Sequence[Check], about: Mapping[str, str], settings: Mapping[str, str], peers: str, *, quick: bool
) -> str:
    """`settings` are the arguments and the commit of each run, `peers` a table of its own or why there is none."""
    facts = [f"- {name}: {value}" for name, value in about.items()]
    size = ["", "**Scaled down (`--quick`): these figures show that the bench works, not what Parley holds.**"]
    head = ["", "| row | what | measured | wanted | holds |", "|---|---|---|---|---|"]
    used = ["", "## The runs", "", *(f"- {name}: {text}" for name, text in settings.items())]
    lines = [_HEAD, *facts, *(size if quick else []), *head, *map(_line, checks), _HOW, "## Peers", "", peers, *used]
    return "\n".join(lines).rstrip() + "\n"


def _line(check: Check) -> str:
    holds = "" if check.holds is None else "yes" if check.holds else "**no**"
    return f"| {check.row} | {check.what} | {check.measured} | {check.wanted} | {holds} |"
