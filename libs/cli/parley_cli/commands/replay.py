"""`parley replay`: send a file of customer messages through the gateway and count what comes back."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from parley_cli.client import door
from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.figures import Outcome, summarise
from parley_cli.gateway import url_of
from parley_cli.replay import Line, read_lines, replay


def run(args: argparse.Namespace) -> int:
    """Print the figures; exit code 1 when a message that was taken was lost or answered twice."""
    if args.concurrency < 1:
        raise CommandError("--concurrency must be 1 or more.", EXIT_USAGE)
    lines = read_lines(Path(args.file), args.limit)
    figures = summarise(asyncio.run(_outcomes(args, lines)))
    if args.json:
        print(json.dumps(figures, ensure_ascii=False))
    else:
        _print(figures)
    return 1 if figures["lost"] or figures["duplicated"] else 0


async def _outcomes(args: argparse.Namespace, lines: list[Line]) -> list[Outcome]:
    live = sys.stderr.isatty()

    def told(done: int) -> None:
        if live:
            end = "\n" if done == len(lines) else ""
            print(f"\r{done} of {len(lines)} conversations", end=end, file=sys.stderr, flush=True)

    async with door(url_of(args), args.token) as through:
        return await replay(through, lines, args.concurrency, args.timeout, told)


def _print(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        shown = ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else value
        print(f"{name.replace('_', ' '):<18} {shown}")
