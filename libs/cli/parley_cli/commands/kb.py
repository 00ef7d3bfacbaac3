"""`parley kb`: the knowledge base, by the way that the specialists use it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client

from parley_cli import uploads
from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.operator import connected, identity
from parley_cli.supervise.home import Home
from parley_cli.table import print_table
from parley_mesh.jetstream import NatsBus
from parley_mesh.settings import MeshSettings
from parley_proto import subjects
from parley_proto.envelope import decode, encode, new_id
from parley_proto.rag import IngestJob, IngestProgress, SearchReply, SearchRequest, Skipped, TableReply, TableRequest

_SEARCH_S = 15.0
# Making a table anew, or fetching one from a slow store, takes its time.
_TABLE_S = 3600.0
COMMANDS = "parley.commands"
GENERAL = "general"


def ingest(args: argparse.Namespace) -> int:
    """Send the files, or name what is in the bucket, and watch; exit code 1 when something was refused."""
    if bool(args.paths) == bool(args.bucket):
        raise CommandError(
            "Name files and folders, or --bucket with a prefix of its objects, but not both.", EXIT_USAGE
        )
    return asyncio.run(_ingest(identity(Home.at(args.data)), args))


def progress(args: argparse.Namespace) -> int:
    """Show how far an ingestion has come."""
    found = asyncio.run(_progress(identity(Home.at(args.data)), args.job))
    if found is None:
        raise CommandError(f"There is no ingestion {args.job!r}, or nobody has begun it yet.")
    return _report(found, [], args.json)


def search(args: argparse.Namespace) -> int:
    """Print the passages, best first."""
    request = SearchRequest(
        args.query,
        tenant=args.tenant,
        specialty=args.specialty,
        limit=args.limit,
        mode=args.mode,
        history=args.history,
        filters=_pairs(args.filter),
        groups=args.group,
        at=args.at,
    )
    reply = asyncio.run(_search(identity(Home.at(args.data)), request))
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(reply), indent=2).decode())
        return 0
    if not reply.passages:
        print("Nothing relevant is known.", file=sys.stderr)
        return 0
    rows = [[f"{p.score:.2f}", p.document, p.section or p.title, _short(p.text)] for p in reply.passages]
    print_table(["score", "document", "section", "text"], rows)
    return 0


def table(args: argparse.Namespace) -> int:
    """Ask something of the table and print the answer."""
    request = TableRequest(args.action, getattr(args, "name", ""), getattr(args, "tenant", "default"))
    reply = asyncio.run(_table(identity(Home.at(args.data)), request))
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(reply), indent=2).decode())
        return 0
    if reply.rows:
        columns = list(reply.rows[0])
        print_table(columns, [[_cell(row.get(name)) for name in columns] for row in reply.rows])
    for name, value in reply.facts.items():
        print(f"{name}: {_cell(value)}")
    if reply.said:
        print(reply.said, file=sys.stderr if reply.rows or reply.facts else sys.stdout)
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Measure search on passages and questions; the command comes from the rag package, where that is installed."""
    found = entry_points(group=COMMANDS, name="kb-eval")
    if not found:
        raise CommandError("parley-rag is not installed here, and it is what measures: install it.", EXIT_USAGE)
    result: int = next(iter(found)).load()(args)
    return result


async def _ingest(who: MeshSettings, args: argparse.Namespace) -> int:
    job_id = new_id("i")
    prefix = args.bucket or f"upload/{job_id}/"
    files, twins = uploads.without_twins(list(uploads.files_of([Path(path) for path in args.paths])))
    if not args.bucket and not files:
        raise CommandError("There is no file in these paths.")
    job = IngestJob(
        job_id,
        prefix,
        tenant=args.tenant,
        specialty=args.specialty,
        language=args.language,
        valid_from=args.valid_from,
        valid_until=args.valid_until,
        access=args.access,
        clean=not args.bucket,
    )
    async with connected(who) as client:
        await _warn_of_typos(client, args.specialty)
        unsent = await uploads.upload(client, prefix, files)
        nothing = len(unsent) == len(files)
        unsent += twins
        if nothing and not args.bucket:
            return _report(IngestProgress(job_id, "done"), unsent, args.json)
        await uploads.begin(client, job)
        if args.detach:
            print(job_id)
            return 0
        done = await uploads.until_done(client, job_id, _show, args.timeout)
    return _report(done, unsent, args.json)


async def _warn_of_typos(client: Client, specialty: str) -> None:
    """Nobody would ever look for documents of a specialty that is misspelt."""
    if specialty == GENERAL or await NatsBus(client, subjects.SPECIALISTS_STREAM).last(subjects.card(specialty)):
        return
    print(f"No specialty {specialty!r} has ever run here; its documents wait for one of that name.", file=sys.stderr)


def _show(seen: IngestProgress) -> None:
    """A line of progress where a person watches."""
    if not sys.stderr.isatty():
        return
    resumed = f", resumed after {seen.resumed_from:,}" if seen.resumed else ""
    waits = f" ({seen.reason})" if seen.reason else ""
    print(
        f"\r\x1b[K{seen.documents:,} documents, {seen.objects_done}/{seen.objects} files{resumed}{waits}",
        end="" if seen.state in ("running", "waiting") else "\n",
        file=sys.stderr,
        flush=True,
    )


def _report(seen: IngestProgress, unsent: Sequence[Skipped], as_json: bool) -> int:
    whole = msgspec.structs.replace(seen, refused=seen.refused + len(unsent), skipped=[*unsent, *seen.skipped])
    if as_json:
        print(msgspec.json.encode(whole).decode())
    else:
        replaced = f" ({seen.replaced} in the place of an earlier text)" if seen.replaced else ""
        resumed = f" Resumed {seen.resumed} times, last after {seen.resumed_from} documents." if seen.resumed else ""
        print(
            f"{seen.stored} stored in {seen.chunks} chunks{replaced}, {seen.unchanged} unchanged, "
            f"{whole.refused} refused;"
            f" ingestion {seen.job_id} is {seen.state}.{resumed}"
        )
        if seen.reason:
            print(seen.reason, file=sys.stderr)
    for skipped in whole.skipped:
        print(f"{skipped.document_id}: {skipped.reason}", file=sys.stderr)
    if whole.refused > len(whole.skipped):
        print(f"… and {whole.refused - len(whole.skipped)} more.", file=sys.stderr)
    return 1 if whole.refused or seen.state == "failed" else 0


async def _progress(who: MeshSettings, job_id: str) -> IngestProgress | None:
    async with connected(who) as client:
        return await uploads.progress_of(client, job_id)


async def _search(who: MeshSettings, request: SearchRequest) -> SearchReply:
    async with connected(who) as client:
        data = await NatsBus(client).request(subjects.RAG_SEARCH, encode(request), timeout=_SEARCH_S)
    reply: SearchReply = decode(data, SearchReply)
    return reply


async def _table(who: MeshSettings, request: TableRequest) -> TableReply:
    async with connected(who) as client:
        data = await NatsBus(client).request(subjects.RAG_TABLE, encode(request), timeout=_TABLE_S)
    reply: TableReply = decode(data, TableReply)
    return reply


def _pairs(filters: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"{text!r} must be FIELD=VALUE.", EXIT_USAGE)
        pairs[name] = value
    return pairs


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 100 else words[:99] + "…"
