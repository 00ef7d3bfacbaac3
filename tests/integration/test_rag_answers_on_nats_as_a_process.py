from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from rag_service import words

from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.envelope import decode, encode
from parley_proto.errors import PermanentError, TransientError
from parley_proto.rag import (
    Document,
    EmbedReply,
    EmbedRequest,
    IngestReply,
    IngestRequest,
    SearchReply,
    SearchRequest,
)
from parley_testkit.nats_server import PASSWORD, NatsServer
from parley_testkit.ports import free_port

START_S = 60.0
ARTICLE = "---\ntitle: Charged twice\nspecialty: billing\n---\n\n## What to do\nWe pay the second amount back.\n"


@asynccontextmanager
async def running(
    nats: NatsServer, folder: Path, **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A rag process with the rights it has in real life, and the address of its health server."""
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    environ |= {
        "PARLEY_MESH_NATS_URL": nats.url,
        "PARLEY_MESH_NATS_USER": "rag",
        "PARLEY_MESH_NATS_PASSWORD": PASSWORD,
        "PARLEY_MESH_HEALTH_PORT": str(port),
        "PARLEY_RAG_DATA_DIR": str(folder / "data"),
        "PARLEY_RAG_KNOWLEDGE_DIR": str(folder / "articles"),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "parley_rag", env=environ | settings, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_ready(health: str) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(START_S):
        while True:
            try:
                async with http.get(f"{health}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


async def metrics(health: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{health}/metrics") as response:
        return await response.text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "articles").mkdir()
    (tmp_path / "articles" / "twice.md").write_text(ARTICLE)
    return tmp_path


async def test_it_reads_answers_refuses_and_stops(nats_server: NatsServer, folder: Path) -> None:
    async with running(nats_server, folder) as (process, health):
        await until_ready(health)
        bus = NatsBus(await nats_server.connect("billing"))
        data = await bus.request(subjects.RAG_SEARCH, encode(SearchRequest("charged twice")), timeout=5)
        found: SearchReply = decode(data, SearchReply)
        assert words(found.passages) == ["twice"]
        with pytest.raises(PermanentError) as caught:
            await bus.request(subjects.RAG_SEARCH, encode(SearchRequest("")), timeout=5)
        assert (caught.value.code, caught.value.message) == (
            "empty_query",
            "The search query is empty: say what to look for.",
        )
        operator = NatsBus(await nats_server.connect())
        document = Document("returns/wallet", "Refunds", "A refund to the wallet arrives at once.", "returns")
        data = await operator.request(subjects.RAG_INGEST, encode(IngestRequest([document])), timeout=20)
        assert decode(data, IngestReply) == IngestReply(1, 0, 1)
        data = await operator.request(subjects.RAG_EMBED, encode(EmbedRequest(["one", "two"])), timeout=5)
        assert len(decode(data, EmbedReply).vectors) == 2 * 384 * 4
        assert 'parley_rag_searches_total{mode="hybrid",outcome="found"} 1.0' in await metrics(health)
        assert await statistics(nats_server) == {"stored": 1, "unchanged": 0, "chunks": 1}
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_many_at_once_are_all_answered(nats_server: NatsServer, folder: Path) -> None:
    async with running(nats_server, folder) as (_, health):
        await until_ready(health)
        bus = NatsBus(await nats_server.connect())
        searches = [encode(SearchRequest(f"I was charged twice for order {number}")) for number in range(150)]
        replies = await asyncio.gather(*(bus.request(subjects.RAG_SEARCH, one, timeout=60) for one in searches))
        assert all(words(decode(reply, SearchReply).passages) == ["twice"] for reply in replies)


async def test_while_the_table_is_damaged_it_says_so_and_still_embeds(nats_server: NatsServer, folder: Path) -> None:
    async with running(nats_server, folder) as (_, health):
        await until_ready(health)
    for file in (folder / "data" / "lance").rglob("*.manifest"):
        file.write_bytes(b"not a manifest")
    async with running(nats_server, folder) as (_, health):
        bus = NatsBus(await nats_server.connect())
        reason = await why_not_ready(health)
        assert "can't be used" in reason and str(folder / "data" / "lance") in reason
        with pytest.raises(TransientError) as caught:
            await bus.request(subjects.RAG_SEARCH, encode(SearchRequest("charged twice")), timeout=5)
        assert caught.value.code == "knowledge_unavailable"
        data = await bus.request(subjects.RAG_EMBED, encode(EmbedRequest(["one"])), timeout=5)
        assert decode(data, EmbedReply).dimensions == 384


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PARLEY_RAG_FLOOR", "high", "PARLEY_RAG_FLOOR"),
        ("PARLEY_RAG_FLOOR", "1.5", "PARLEY_RAG_FLOOR"),
        ("PARLEY_RAG_THREADS", "0", "PARLEY_RAG_THREADS"),
        ("PARLEY_RAG_PRECISION", "fp8", "PARLEY_RAG_PRECISION"),
        ("PARLEY_RAG_KNOWLEDGE_DIR", "nowhere", "PARLEY_RAG_KNOWLEDGE_DIR is wrong: nowhere is not a folder"),
        ("PARLEY_RAG_DATA_DIR", __file__, "Correct PARLEY_RAG_DATA_DIR or make room."),
    ],
)
async def test_a_wrong_setting_ends_it_with_a_sentence(
    nats_server: NatsServer, folder: Path, variable: str, value: str, sentence: str
) -> None:
    async with running(nats_server, folder, **{variable: value}) as (process, _):
        _, written = await asyncio.wait_for(process.communicate(), START_S)
        assert process.returncode == 2
        assert sentence in written.decode() and "Traceback" not in written.decode()


async def why_not_ready(health: str) -> str:
    async with aiohttp.ClientSession() as http, asyncio.timeout(START_S):
        while True:
            try:
                async with http.get(f"{health}/readyz") as response:
                    reason: str = (await response.json()).get("reason", "")
            except aiohttp.ClientConnectionError:
                reason = ""
            if "can't be used" in reason:
                return reason
            await asyncio.sleep(0.05)


async def statistics(nats: NatsServer) -> dict[str, int]:
    client = await nats.connect()
    reply = await client.request("$SRV.PARLEY.rag", b"", timeout=5)
    found: dict[str, int] = msgspec.json.decode(reply.data)["knowledge"]
    return found
