"""A history's file as records with their line numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_testkit.history.records import KINDS, Record

Numbered = tuple[int, Record]


class _Kind(msgspec.Struct):
    kind: str


_records: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_kinds = msgspec.json.Decoder(_Kind)


class BadLineError(CommandError):
    """A line is no record of a history."""

    code = "bad_line"

    def __init__(self, number: int, file: str, reason: str) -> None:
        super().__init__(f"Line {number}{f' of {file}' if file else ''} {reason}.", EXIT_USAGE)


def read(path: Path) -> list[Numbered]:
    """The records of a file; BadLineError names the line that is none, CommandError a file that has or gives none."""
    try:
        with path.open("rb") as file:
            records = list(parse(file, path.name))
    except OSError as error:
        raise CommandError(f"{path} can't be read: {error.strerror}.", EXIT_USAGE) from error
    if not records:
        raise CommandError(f"{path} is empty: a history has a record a line, as fault runs write them.", EXIT_USAGE)
    return records


def parse(lines: Iterable[bytes], file: str = "") -> Iterator[Numbered]:
    """Each line with its number, from 1; BadLineError for an empty one too: nobody writes those."""
    for number, line in enumerate(lines, start=1):
        try:
            yield number, _records.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadLineError(number, file, _reason(line, error)) from error


def _reason(line: bytes, error: Exception) -> str:
    try:
        kind = _kinds.decode(line).kind
    except msgspec.ValidationError:
        return "is not a JSON object with a kind"
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return f"is not JSON: {str(error)[:120]}"
    if kind not in KINDS:
        return f"has the unknown kind {kind[:40]!r}; there are {', '.join(KINDS)}"
    return f"is not a sound {kind}: {str(error)[:160]}"
