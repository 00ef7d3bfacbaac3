"""How other commands reach the supervisor: one line of JSON each way, on a socket that only its owner may open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec

from parley_cli.errors import EXIT_USAGE, CommandError, NotRunningError, exit_code_of
from parley_proto.errors import ParleyError

_MOST_BYTES = 1 << 16
Verb = Literal["restart", "scale", "mend", "read_anew"]


class Order(msgspec.Struct, frozen=True):
    """`restart` an instance or all of a service, `scale` services (`name=2`), have a node `mend` or `read_anew`."""

    verb: Verb
    what: str


class Outcome(msgspec.Struct, frozen=True):
    """What became of an order: a sentence, and 0 or the exit code of its failure."""

    text: str
    exit_code: int = 0


Carry = Callable[[Order], Awaitable[str]]


async def serve(path: Path, carry_out: Carry) -> asyncio.Server:
    """Listen on `path` until the returned server is closed."""
    _clear(path)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outcome = await _outcome(await reader.readline(), carry_out)
        writer.write(msgspec.json.encode(outcome) + b"\n")
        await writer.drain()
        writer.close()

    mask = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(answer, path, limit=_MOST_BYTES)
    finally:
        os.umask(mask)


def _clear(path: Path) -> None:
    path.unlink(missing_ok=True)


async def send(path: Path, order: Order) -> str:
    """The supervisor's answer. CommandError says why it did not do it, NotRunningError that there is none."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as error:
        raise NotRunningError from error
    writer.write(msgspec.json.encode(order) + b"\n")
    await writer.drain()
    line = await reader.readline()
    writer.close()
    if not line:
        raise CommandError("The supervisor ended before it had done that; see `parley logs supervisor`.")
    outcome = msgspec.json.decode(line, type=Outcome)
    if outcome.exit_code:
        raise CommandError(outcome.text, outcome.exit_code)
    return outcome.text


async def _outcome(line: bytes, carry_out: Carry) -> Outcome:
    try:
        return Outcome(await carry_out(msgspec.json.decode(line, type=Order)))
    except msgspec.DecodeError as error:
        return Outcome(f"The order can't be read: {error}.", EXIT_USAGE)
    except ParleyError as error:
        return Outcome(error.message, exit_code_of(error))
