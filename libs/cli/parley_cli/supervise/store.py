"""What a node of NATS keeps on disk, taken away while it is stopped so that it gets it anew (nats-server 2.15.1)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from parley_cli.errors import CommandError

_STREAMS = Path("jetstream", "$G", "streams")
_GROUPS = Path("jetstream", "$SYS", "_js_")


class _About(msgspec.Struct):
    """Of a group's meta.inf: whom it keeps in step."""

    metadata: dict[str, str] = {}


def forget(root: Path, streams: Sequence[str]) -> None:
    """Remove the copies of `streams` and what their groups have agreed on; CommandError where that can't be done.

    Both: the group's snapshot counts as deleted what this copy had lost, and would delete it again (tried). Consumers
    keep in step by groups of their own, which stay.
    """
    try:
        for stream in streams:
            for group in _groups_of(root, stream):
                shutil.rmtree(group)
            shutil.rmtree(root / _STREAMS / stream)
    except OSError as error:
        raise CommandError(f"{error.filename} can't be removed: {error.strerror}.") from error


def forget_indexes(root: Path) -> None:
    """Remove what saves the node from reading its messages, and checking them, at its next start."""
    try:
        for index in (root / _STREAMS).glob("*/msgs/index.db"):
            index.unlink()
    except OSError as error:
        raise CommandError(f"{error.filename} can't be removed: {error.strerror}.") from error


def _groups_of(root: Path, stream: str) -> list[Path]:
    wanted = {"type": "stream", "stream": stream}
    return [file.parent for file in (root / _GROUPS).glob("*/meta.inf") if wanted.items() <= _metadata(file).items()]


def _metadata(file: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_About).metadata
    except msgspec.DecodeError as error:
        raise CommandError(f"{file} can't be read: {error}.") from error
