"""What `Reader` and its process say to each other: MessagePack, each with its length before it."""

from __future__ import annotations

import struct
import sys

import msgspec

from parley_rag.reading.outcome import Defaults

LENGTH = struct.Struct("!I")


class Ask(msgspec.Struct, frozen=True):
    """`content`, or the file at `path`; `count` documents of it from the one with the number `start`."""

    name: str
    defaults: Defaults
    path: bytes = b""
    content: bytes = b""
    start: int = 0
    count: int = sys.maxsize
