from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import pytest
from rag_service import WAIT_S, Rag, Start, words

from parley_proto import subjects
from parley_proto.envelope import encode
from parley_proto.errors import SettingsError, TransientError
from parley_proto.rag import Document, SearchRequest

pytest_plugins = ("rag_fixtures",)

TABLE = Path("lance", "knowledge.lance")
ARTICLE = "---\ntitle: Charged twice\nspecialty: billing\n---\n\n## What to do\nWe pay the second amount back.\n"
QUERY = "I was charged twice"


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    folder = tmp_path / "articles"
    (folder / "billing").mkdir(parents=True)
    (folder / "billing" / "twice.md").write_text(ARTICLE)
    (folder / "rows.jsonl").write_text('{"id":"hours","title":"Opening hours","text":"We are open on Sunday."}\n')
    return folder


async def until_found(rag: Rag, query: str, document: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(TransientError):
                if document in words(await rag.search(query)):
                    return
            await asyncio.sleep(0.05)


async def until_said(rag: Rag) -> None:
    """What is in memory answers for a moment longer."""
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                found = await rag.search(QUERY)
            except TransientError:
                return
            if not found:
                return
            await asyncio.sleep(0.05)


def put_back(folder: Path) -> None:
    """In place of the empty table that the service may have made meanwhile."""
    for _ in range(100):
        shutil.rmtree(folder / TABLE, ignore_errors=True)
        with contextlib.suppress(OSError):
            (folder / "away").rename(folder / TABLE)
            return


def damage(folder: Path, part: str) -> None:
    files = [file for file in (folder / TABLE / part).rglob("*") if file.is_file()]
    assert files
    for file in files:
        file.write_bytes(os.urandom(file.stat().st_size))


async def test_the_articles_of_a_folder_are_read_at_the_start_and_it_says_so_meanwhile(
    start: Start, articles: Path
) -> None:
    rag = await start(knowledge_dir=str(articles))
    assert rag.service.ready() == "The knowledge articles are being read."
    with pytest.raises(TransientError) as caught:
        await rag.search(QUERY)
    assert caught.value.code == "knowledge_unavailable"
    await rag.until_ready()
    assert words(await rag.search(QUERY)) == ["billing/twice"]
    assert rag.service.stats()["knowledge"]["stored"] == 2


async def test_articles_that_changed_or_went_are_noticed_at_the_next_start(start: Start, articles: Path) -> None:
    first = await start(knowledge_dir=str(articles))
    await first.until_ready()
    await first.service.close()
    (articles / "rows.jsonl").unlink()
    (articles / "billing" / "twice.md").write_text(ARTICLE.replace("second", "doubled"))
    second = await start(knowledge_dir=str(articles))
    await second.until_ready()
    assert "doubled" in (await second.search(QUERY))[0].text
    assert await second.search("open on Sunday") == []


async def test_an_article_that_somebody_has_replaced_stays_replaced(start: Start, articles: Path) -> None:
    first = await start(knowledge_dir=str(articles))
    await first.until_ready()
    await first.ingest(Document("billing/twice", "Charged twice", "Ours: call Mara.", "billing"))
    await first.service.close()
    second = await start(knowledge_dir=str(articles))
    await second.until_ready()
    assert (await second.search(QUERY))[0].text == "Ours: call Mara."


async def test_the_articles_of_the_package_can_be_read(start: Start) -> None:
    rag = await start(knowledge_dir="")
    await rag.until_ready(100)
    stats = rag.service.stats()["knowledge"]
    assert stats["stored"] > 20 and not stats.get("skipped")
    specialties = {passage.specialty for passage in await rag.search("I was charged twice for my order")}
    assert "billing" in specialties


async def test_a_broken_article_is_named_and_keeps_no_other_from_being_read(start: Start, articles: Path) -> None:
    (articles / "rows.jsonl").write_text("{\n")
    rag = await start(knowledge_dir=str(articles))
    await rag.until_ready()
    assert words(await rag.search(QUERY)) == ["billing/twice"]
    [skipped] = rag.service.stats()["knowledge"]["skipped"]
    assert skipped["document_id"] == "rows.jsonl line 1" and "not a JSON object" in skipped["reason"]


@pytest.mark.parametrize("part", ["data", "_versions"])
async def test_a_damaged_table_is_said_and_everything_else_goes_on(
    start: Start, articles: Path, tmp_path: Path, part: str
) -> None:
    before = await start(knowledge_dir=str(articles))
    await before.until_ready()
    await before.service.close()
    damage(tmp_path, part)
    rag = await start(knowledge_dir=str(articles))
    with pytest.raises(TransientError, match=r"knowledge table in .* can't be used: .* `parley kb restore`") as caught:
        await rag.ask(subjects.RAG_SEARCH, encode(SearchRequest(QUERY)))
    assert caught.value.code == "knowledge_unavailable"
    assert (await rag.embed(QUERY)).dimensions == 384
    async with asyncio.timeout(WAIT_S):
        while "can't be used" not in rag.service.ready():
            await asyncio.sleep(0.02)


async def test_a_damaged_table_that_is_removed_is_made_anew_without_a_restart(
    start: Start, articles: Path, tmp_path: Path
) -> None:
    rag = await start(knowledge_dir=str(articles))
    await rag.until_ready()
    damage(tmp_path, "data")
    damage(tmp_path, "_versions")
    shutil.rmtree(tmp_path / TABLE)
    await until_found(rag, QUERY, "billing/twice")
    await rag.until_ready()


async def test_a_table_that_is_put_back_is_used_without_a_restart(start: Start, tmp_path: Path) -> None:
    rag = await start()
    await rag.until_ready()
    await rag.ingest(Document("own", "Charged twice", "Ours: call Mara."))
    (tmp_path / TABLE).rename(tmp_path / "away")
    await until_said(rag)
    put_back(tmp_path)
    await until_found(rag, QUERY, "own")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"knowledge_dir": "nowhere/at/all"}, "PARLEY_RAG_KNOWLEDGE_DIR is wrong: nowhere/at/all is not a folder"),
        ({"window_words": 10, "overlap_words": 10}, "PARLEY_RAG_OVERLAP_WORDS must be smaller"),
    ],
)
async def test_a_wrong_setting_is_named_at_the_start(start: Start, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        await start(**settings)
