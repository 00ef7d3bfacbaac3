"""`parley conversations`: what was said and done, from the archive or, while that is down, from the log."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import msgspec

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.operator import connected, identity
from parley_cli.supervise.home import Home
from parley_mesh.bus import Stored
from parley_mesh.jetstream import NatsBus
from parley_mesh.settings import MeshSettings
from parley_proto import subjects
from parley_proto.archive import Record, RetireReply, RetireRequest, TranscriptReply, TranscriptRequest
from parley_proto.envelope import decode, encode, valid_id
from parley_proto.errors import PermanentError, TransientError

_ARCHIVE_S = 5.0
_RETIRE_S = 20.0
_UNKNOWN = "unknown_conversation"


def show(args: argparse.Namespace) -> int:
    """Print the record of one conversation; CommandError when there is none."""
    _check(args.id)
    records = asyncio.run(_records(identity(Home.at(args.data)), args.id, args.tenant))
    if not records:
        raise CommandError(f"There is no conversation {args.id}.")
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(records), indent=2).decode())
    else:
        for record in records:
            print(line_of(record))
    return 0


def retire(args: argparse.Namespace) -> int:
    """Have the archiver take a conversation that rests out of the log; CommandError says why it has to stay."""
    _check(args.id)
    reply = asyncio.run(_retired(identity(Home.at(args.data)), args.id))
    if args.json:
        print(msgspec.json.encode(reply).decode())
    else:
        print(f"Conversation {args.id} is in the archive only; it comes back when its customer does.")
        print("Not in the archive only: its dead letters and the ledger of its side effects.", file=sys.stderr)
    return 0


def _check(conversation: str) -> None:
    if not valid_id(conversation):
        raise CommandError(
            f"{conversation[:80]!r} is not a conversation's id: 16 to 64 of A-Z a-z 0-9 _ -.", EXIT_USAGE
        )


async def _retired(who: MeshSettings, conversation: str) -> RetireReply:
    async with connected(who) as client:
        data = await NatsBus(client).request(
            subjects.ARCHIVE_RETIRE, encode(RetireRequest(conversation)), timeout=_RETIRE_S
        )
    reply: RetireReply = decode(data, RetireReply)
    return reply


def line_of(record: Record) -> str:
    """One line a person can read: when, what, who, the words."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.at / 1000))
    body = record.body
    who = body.get("specialty") or body.get("owner") or body.get("role") or record.subject.split(".")[0]
    said = body.get("text") or body.get("reason") or body.get("question") or ""
    return f"{when}Z  {record.seq:>8}  {record.type:<20}  {who:<12}  {json.dumps(str(said), ensure_ascii=False)[1:-1]}"


async def _records(who: MeshSettings, conversation: str, tenant: str) -> list[Record]:
    async with connected(who) as client:
        bus = NatsBus(client)
        try:
            request = encode(TranscriptRequest(conversation, tenant))
            data = await bus.request(subjects.ARCHIVE_TRANSCRIPT, request, timeout=_ARCHIVE_S)
        except TransientError as error:
            # What is not in the log may well be in the archive: that is no reason to say that there is none.
            if not (found := await _from_log(bus, conversation, who.shards)):
                raise
            print(f"The archive does not answer ({error.message}) This is what the log holds.", file=sys.stderr)
            return found
        except PermanentError as error:
            # What was said a moment ago may be in the log only.
            if error.code != _UNKNOWN or not (found := await _from_log(bus, conversation, who.shards)):
                raise
            return found
    reply: TranscriptReply = decode(data, TranscriptReply)
    return reply.records


async def _from_log(bus: NatsBus, conversation: str, shards: int) -> list[Record]:
    found = [await _all(bus, subjects.conv(conversation, shards)), await _all(bus, subjects.out(conversation))]
    checkpoint = await bus.last(subjects.checkpoint(conversation))
    # A marker without a body stands for a checkpoint that is in the archive only.
    states = [_record(checkpoint)] if checkpoint and checkpoint.data else []
    records = [record for group in found for record in group] + states
    return sorted(records, key=lambda record: record.seq)


async def _all(bus: NatsBus, subject: str) -> list[Record]:
    records: list[Record] = []
    seq = 0
    while stored := await bus.next(subject, seq):
        seq = stored.seq
        records.append(_record(stored))
    return records


def _record(stored: Stored) -> Record:
    body: dict[str, Any] = decode(stored.data, dict[str, Any])
    return Record(stored.seq, stored.subject, str(body.get("type", "Checkpoint")), stored.at, body)
