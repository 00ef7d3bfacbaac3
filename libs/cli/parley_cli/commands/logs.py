"""`parley logs`: what the services wrote, as it stands in their files."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from parley_cli.errors import EXIT_USAGE, CommandError, NotRunningError
from parley_cli.supervise.home import Home

_POLL_S = 0.2
_BLOCK = 65_536


def run(args: argparse.Namespace) -> int:
    """Print the last lines of each log asked for, and with `-f` what comes after."""
    home = Home.at(args.data)
    files = _files(home, args.service)
    named = len(files) > 1
    places = {}
    for file in files:
        lines, places[file] = last_lines(file, max(args.lines, 0))
        _print(file, lines, named)
    if args.follow:
        for file, line in _following(places):
            _print(file, [line], named)
    return 0


def last_lines(file: Path, count: int) -> tuple[list[str], int]:
    """The last `count` whole lines, and the place in the file where the next one begins."""
    size = file.stat().st_size
    found, start = b"", size
    with file.open("rb") as source:
        while start > 0 and found.count(b"\n") <= count:
            start = max(0, start - _BLOCK)
            source.seek(start)
            found = source.read(size - start)
    end = found.rfind(b"\n") + 1
    lines = found[:end].decode("utf-8", "replace").split("\n")[:-1]
    return (lines[-count:] if count else []), start + end


def _files(home: Home, wanted: str) -> list[Path]:
    if not home.logs.is_dir():
        raise NotRunningError
    files = sorted(home.logs.glob("*.log"))
    chosen = [file for file in files if not wanted or wanted in (file.stem, re.sub(r"-\d+$", "", file.stem))]
    if not chosen:
        known = ", ".join(file.stem for file in files)
        raise CommandError(f"There is no log of {wanted!r}; there are {known}.", EXIT_USAGE)
    return chosen


def _following(places: dict[Path, int]) -> Iterator[tuple[Path, str]]:
    while True:
        for file, place in places.items():
            # A log that was moved aside begins again.
            begin = place if file.exists() and file.stat().st_size >= place else 0
            lines, places[file] = _new_lines(file, begin)
            yield from ((file, line) for line in lines)
        time.sleep(_POLL_S)


def _new_lines(file: Path, begin: int) -> tuple[list[str], int]:
    try:
        with file.open("rb") as source:
            source.seek(begin)
            text = source.read()
    except FileNotFoundError:
        return [], 0
    end = text.rfind(b"\n") + 1
    return text[:end].decode("utf-8", "replace").split("\n")[:-1], begin + end


def _print(file: Path, lines: list[str], named: bool) -> None:
    for line in lines:
        print(f"{file.stem}: {line}" if named else line)
    sys.stdout.flush()
