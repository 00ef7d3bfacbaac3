"""`parley dead`: what could not be handled and was set aside, for a person to look at, try again, or drop."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec
from nats.aio.client import Client

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.operator import connected, identity
from parley_cli.supervise.home import Home
from parley_cli.table import print_table
from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.conversation import RetryRequested
from parley_proto.envelope import decode, encode, now_ms, valid_id
from parley_proto.errors import UNKNOWN_OUTCOME
from parley_proto.specialist import DeadLetter

_API_S = 5.0


def list_(args: argparse.Namespace) -> int:
    """Print the dead letters, oldest first."""

    async def work(client: Client, _shards: int) -> None:
        letters = [letter for dead_id in await _ids(client) if (letter := await _find(client, dead_id))]
        letters.sort(key=lambda letter: letter.at)
        if args.json:
            print(msgspec.json.format(msgspec.json.encode(letters), indent=2).decode())
        elif letters:
            print_table(
                ("id", "since", "conversation", "specialty", "code", "reason"), [row_of(one) for one in letters]
            )
        else:
            print("There are no dead letters.", file=sys.stderr)

    return _with_client(args, work)


def show(args: argparse.Namespace) -> int:
    """Print one dead letter with its reason and the customer's words."""

    async def work(client: Client, _shards: int) -> None:
        print(msgspec.json.format(msgspec.json.encode(await _get(client, args.id)), indent=2).decode())

    return _with_client(args, work)


def retry(args: argparse.Namespace) -> int:
    """Have the customer's words answered after all. CommandError where that can't or must not be."""

    async def work(client: Client, shards: int) -> None:
        letter = await _get(client, args.id)
        if reason := why_no_retry(letter):
            raise CommandError(reason)
        wish = RetryRequested(letter.dead_id, letter.messages, now_ms())
        # Its id makes a command that is repeated after a lost answer harmless.
        subject = subjects.conv(letter.conversation, shards)
        await NatsBus(client).append(subject, encode(wish), msg_id=f"{letter.dead_id}-retry")
        await _purge(client, letter.dead_id)
        print(f"{letter.conversation} has it again; where it finds no room, it is set aside anew.", file=sys.stderr)

    return _with_client(args, work)


def drop(args: argparse.Namespace) -> int:
    """Forget a dead letter; what was said stays in the record. Of an unknown outcome: a person has settled it."""

    async def work(client: Client, _shards: int) -> None:
        letter = await _get(client, args.id)
        await _purge(client, letter.dead_id)
        settled = " Whatever happened counts as settled by a person." if letter.code == UNKNOWN_OUTCOME else ""
        print(f"{letter.dead_id} is dropped.{settled}", file=sys.stderr)

    return _with_client(args, work)


def row_of(letter: DeadLetter) -> tuple[str, ...]:
    """A dead letter as `parley dead list` shows it, on one line."""
    reason = " ".join(letter.reason.split())
    return letter.dead_id, _utc(letter.at), letter.conversation, letter.specialty or "-", letter.code, reason


def why_no_retry(letter: DeadLetter) -> str:
    """Why its words are not answered once more, '' where they may be."""
    if letter.code == UNKNOWN_OUTCOME:
        return (
            f"{letter.dead_id} is about a side effect that may have happened, so it is not tried again: "
            "find out whether it did, settle it with the customer, then drop it."
        )
    if not letter.messages:
        return f"{letter.dead_id} holds no words of a customer to answer; look at it and drop it."
    return ""


def _with_client(args: argparse.Namespace, work: Callable[[Client, int], Awaitable[None]]) -> int:
    who = identity(Home.at(args.data))

    async def run() -> None:
        async with connected(who) as client:
            await work(client, who.shards)

    asyncio.run(run())
    return 0


def _utc(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ms / 1000))


async def _ids(client: Client) -> list[str]:
    asked = {"subjects_filter": subjects.ALL_DEAD}
    info = await _call(client, f"STREAM.INFO.{subjects.STREAM}", asked)
    found = info.get("state", {}).get("subjects") or {}
    return [subject.partition(".")[2] for subject in found]


async def _get(client: Client, dead_id: str) -> DeadLetter:
    if not valid_id(dead_id):
        text = f"{dead_id[:80]!r} is not the id of a dead letter; `parley dead list` shows them."
        raise CommandError(text, EXIT_USAGE)
    letter = await _find(client, dead_id)
    if letter is None:
        raise CommandError(f"There is no dead letter {dead_id}; `parley dead list` shows those that there are.")
    return letter


async def _find(client: Client, dead_id: str) -> DeadLetter | None:
    stored = await NatsBus(client).last(subjects.dead(dead_id))
    letter: DeadLetter | None = decode(stored.data, DeadLetter) if stored else None
    return letter


async def _purge(client: Client, dead_id: str) -> None:
    await _call(client, f"STREAM.PURGE.{subjects.STREAM}", {"filter": subjects.dead(dead_id)})


async def _call(client: Client, api: str, body: dict[str, str]) -> dict[str, dict[str, dict[str, int]]]:
    try:
        reply = await client.request(f"$JS.API.{api}", msgspec.json.encode(body), timeout=_API_S)
    except CLIENT_ERRORS as error:
        raise CommandError(f"NATS does not answer about the dead letters: {error or 'no answer in time'}.") from error
    found: dict[str, dict[str, dict[str, int]]] = msgspec.json.decode(reply.data)
    if found.get("error"):
        raise CommandError(f"NATS refuses that: {found['error'].get('description', 'no reason given')}.")
    return found
