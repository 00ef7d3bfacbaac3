"""What the service and a worker's process say to each other: msgpack behind four bytes of length."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import BinaryIO

import msgspec

_LENGTH = struct.Struct("<I")
HEADER = _LENGTH.size


class Encoded(msgspec.Struct, frozen=True, tag=True):
    """Little-endian float32, one text after the other."""

    vectors: bytes


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The model could not; `message` is a sentence for a person."""

    message: str


Answer = Encoded | Failed
_packer = msgspec.msgpack.Encoder()
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
_texts = msgspec.msgpack.Decoder(list[str])


def framed(message: Sequence[str] | Answer) -> bytes:
    """A message as it goes over the pipe."""
    body = _packer.encode(message)
    return _LENGTH.pack(len(body)) + body


def length(header: bytes) -> int:
    """How many bytes follow the `HEADER` first ones."""
    return int(_LENGTH.unpack(header)[0])


def answer(body: bytes) -> Answer:
    """What a worker said; msgspec.DecodeError for anything else."""
    return _answers.decode(body)


def next_texts(source: BinaryIO) -> list[str]:
    """The texts of the next request, waiting for them; none where the other side is gone, even within a frame."""
    header = source.read(HEADER)
    size = length(header) if len(header) == HEADER else 0
    body = source.read(size)
    return _texts.decode(body) if size and len(body) == size else []
