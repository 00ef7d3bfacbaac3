"""`parley scrub`: do all nodes hold the same log? A flipped bit in one copy shows nowhere else."""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec

from parley_cli.errors import EXIT_FAILED, CommandError, NotRunningError
from parley_cli.supervise import control, nodes, plan, replicas, scrub, state
from parley_cli.supervise.home import Home
from parley_cli.supervise.replicas import Copy, Finding
from parley_cli.supervise.state import State
from parley_cli.table import print_table

_COLUMNS = ("stream", "node", "messages", "bytes", "first", "last", "deleted", "subjects", "copy")


def run(args: argparse.Namespace) -> int:
    """Print a line a copy; exit code 1 when a copy is not like most others."""
    home = Home.at(args.data)
    found = state.running(home)
    if found is None:
        raise NotRunningError
    return asyncio.run(_run(home, found, args))


async def _run(home: Home, found: State, args: argparse.Namespace) -> int:
    names = sorted(name for name, child in found.children.items() if child.service == plan.NATS)
    if len(names) == 1:
        print("There is one node of NATS: no copy to compare it with.", file=sys.stderr)
        return 0
    findings = await (_deep if args.deep else _once)(home, found, names, args)
    _show(findings, as_json=args.json)
    return 0 if _same(findings) else EXIT_FAILED


async def _deep(home: Home, found: State, names: list[str], args: argparse.Namespace) -> list[Finding]:
    """Each node reads anew; no further one is stopped while one differs, lest it copies what that one has lost."""
    findings: list[Finding] = []
    for name in names:
        await _order(home, "read_anew", [name])
        findings = await _once(home, found, names, args)
        if not _same(findings):
            break
    return findings


async def _once(home: Home, found: State, names: list[str], args: argparse.Namespace) -> list[Finding]:
    findings = await _compare(found, names)
    odd = sorted({node for one in findings if one.verdict == "differs" for node in one.odd})
    if not args.mend or not odd:
        return findings
    await _order(home, "mend", odd)
    return await _compare(found, names)


def _same(findings: list[Finding]) -> bool:
    return all(one.verdict == "same" for one in findings)


async def _compare(found: State, names: list[str]) -> list[Finding]:
    findings = await scrub.compare({name: (found.host, found.ports[nodes.monitor_of(name)]) for name in names})
    if not findings:
        raise CommandError("No node says what it holds; see `parley status`.")
    return findings


async def _order(home: Home, verb: control.Verb, names: list[str]) -> None:
    """One after the other: the log needs most of its nodes all the time."""
    for name in names:
        print(await control.send(home.control, control.Order(verb, name)), file=sys.stderr)


def _show(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode())
        return
    print_table(_COLUMNS, [_cells(one, node, copy) for one in findings for node, copy in one.copies.items()])
    print(replicas.told(findings), file=sys.stderr)


def _cells(finding: Finding, node: str, copy: Copy | None) -> list[str]:
    figures = ["-"] * 6 if copy is None else [str(figure) for figure in msgspec.structs.astuple(copy)]
    return [finding.stream, node, *figures, finding.verdict if node in finding.odd else "same"]
