"""`parley broadcast`: one notice to everyone who runs, and to whoever joins while it is in force."""

from __future__ import annotations

import argparse
import asyncio
import sys

import msgspec
import nats.errors
import nats.js.errors

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.operator import connected, identity
from parley_cli.supervise.home import Home
from parley_mesh.settings import MeshSettings
from parley_proto.broadcast import NoticeBody, read_notice
from parley_proto.envelope import encode, now_ms


def run(args: argparse.Namespace) -> int:
    """Publish the notice; PermanentError says why a text is not one."""
    if not args.topic or any(char in " .*>\t\r\n" for char in args.topic):
        raise CommandError(f"The topic {args.topic!r} must be one word of letters, digits and dashes.", EXIT_USAGE)
    subject = f"broadcast.{args.topic}"
    data = encode(NoticeBody(args.text, args.severity, args.scope, args.ttl))
    read_notice(subject, data, 1, now_ms())
    seq = asyncio.run(_publish(identity(Home.at(args.data)), subject, data))
    print(f"Sent as notice-{seq}, in force for {args.ttl} s.", file=sys.stderr)
    return 0


async def _publish(who: MeshSettings, subject: str, data: bytes) -> int:
    async with connected(who) as client:
        try:
            reply = await client.request(subject, data, timeout=5)
        except (TimeoutError, nats.errors.Error) as error:
            raise CommandError(f"The notice was not confirmed: {error or 'no answer'}; send it again.") from error
    answer = msgspec.json.decode(reply.data)
    if "error" in answer:
        raise CommandError(f"The notice was refused: {answer['error'].get('description')}.")
    return int(answer["seq"])
