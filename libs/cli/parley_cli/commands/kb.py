"""`parley kb ingest` and `parley kb search`: the knowledge base, by the way that the specialists use it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.operator import connected, identity
from parley_cli.supervise.home import Home
from parley_cli.table import print_table
from parley_mesh.jetstream import NatsBus
from parley_mesh.settings import MeshSettings
from parley_proto import subjects
from parley_proto.documents import SUFFIXES, parse
from parley_proto.envelope import decode, encode
from parley_proto.rag import Document, IngestReply, IngestRequest, SearchReply, SearchRequest

_INGEST_S = 120.0
_SEARCH_S = 15.0
# A message may have 1 MB; the rest is room for the JSON around the text.
_BATCH_BYTES = 400_000
_BATCH_DOCUMENTS = 32


def ingest(args: argparse.Namespace) -> int:
    """Send every document of the paths; exit code 1 when some were refused."""
    documents = [document for path in args.paths for document in read(Path(path))]
    reply = asyncio.run(_ingest(identity(Home.at(args.data)), documents, args.tenant))
    if args.json:
        print(msgspec.json.encode(reply).decode())
    else:
        refused = len(reply.skipped)
        print(f"{reply.stored} stored in {reply.chunks} chunks, {reply.unchanged} unchanged, {refused} refused.")
    for skipped in reply.skipped:
        print(f"{skipped.document_id}: {skipped.reason}", file=sys.stderr)
    return 1 if reply.skipped else 0


def search(args: argparse.Namespace) -> int:
    """Print the passages, best first."""
    request = SearchRequest(args.query, tenant=args.tenant, specialty=args.specialty, limit=args.limit)
    reply = asyncio.run(_search(identity(Home.at(args.data)), request))
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(reply), indent=2).decode())
        return 0
    rows = [[f"{p.score:.2f}", p.document, p.section or p.title, _short(p.text)] for p in reply.passages]
    print_table(["score", "document", "section", "text"], rows)
    return 0


def read(path: Path) -> list[Document]:
    """The documents of a file, or of all files of known kinds in a folder; their ids are paths relative to it."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in SUFFIXES and file.is_file()]
    elif path.is_file():
        files = [path]
    else:
        raise CommandError(f"There is no file or folder {path}.", EXIT_USAGE)
    base = path if path.is_dir() else path.parent
    return [document for file in files for document in parse(file.relative_to(base).as_posix(), _text(file))]


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} can't be read as UTF-8 text: {error}.") from error


def batches(documents: Sequence[Document]) -> list[list[Document]]:
    """Documents in groups that fit into a message each."""
    groups: list[list[Document]] = []
    room = 0
    for document in documents:
        size = len(encode(document))
        if not groups or size > room or len(groups[-1]) >= _BATCH_DOCUMENTS:
            groups.append([])
            room = _BATCH_BYTES
        groups[-1].append(document)
        room -= size
    return groups


async def _ingest(who: MeshSettings, documents: Sequence[Document], tenant: str) -> IngestReply:
    if not documents:
        raise CommandError("There is no document in these paths; Markdown files and JSON lines are read.")
    total = IngestReply(0, 0, 0)
    async with connected(who) as client:
        for group in batches(documents):
            request = encode(IngestRequest(group, tenant))
            data = await NatsBus(client).request(subjects.RAG_INGEST, request, timeout=_INGEST_S)
            total = _sum(total, decode(data, IngestReply))
    return total


async def _search(who: MeshSettings, request: SearchRequest) -> SearchReply:
    async with connected(who) as client:
        data = await NatsBus(client).request(subjects.RAG_SEARCH, encode(request), timeout=_SEARCH_S)
    reply: SearchReply = decode(data, SearchReply)
    return reply


def _sum(one: IngestReply, other: IngestReply) -> IngestReply:
    return IngestReply(
        one.stored + other.stored,
        one.unchanged + other.unchanged,
        one.chunks + other.chunks,
        [*one.skipped, *other.skipped],
    )


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 100 else words[:99] + "…"
