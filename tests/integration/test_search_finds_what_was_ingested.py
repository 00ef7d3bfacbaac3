from __future__ import annotations

import asyncio

import pytest
from rag_service import Rag, Start, words

from parley_proto import subjects
from parley_proto.envelope import DEADLINE, encode, now_ms
from parley_proto.errors import PermanentError, TransientError
from parley_proto.rag import Document, SearchRequest

pytest_plugins = ("rag_fixtures",)

REFUNDS = Document(
    "returns/refunds",
    "Refund times",
    "---\ntitle: Refund times\nkeywords: money back, chargeback\n---\n\n"
    "## By card\nA refund to a card takes five working days after we have checked the parcel.\n\n"
    "## To the wallet\nA refund to the wallet arrives at once.\n",
    "returns",
)
DUPLICATE = Document(
    "billing/duplicate",
    "Charged twice",
    "## What to do\nIf you were charged twice for an order, we pay the second amount back within two days.\n",
    "billing",
)
ROUTER = Document(
    "technical/router",
    "Router keeps dropping the connection",
    "## Quick steps\nUnplug the router for ten seconds. If the light stays red, error E-4711 is shown in the app.\n",
    "technical",
)
HOURS = Document("general/hours", "Opening hours", "## Stores\nOur stores are open on Sunday from ten to four.\n")
ALL = (REFUNDS, DUPLICATE, ROUTER, HOURS)


@pytest.mark.parametrize("mode", ["hybrid", "vector"])
@pytest.mark.parametrize(
    ("query", "document", "section"),
    [
        ("you took the money for my order two times", "billing/duplicate", "What to do"),
        ("when will the money be back on my credit card", "returns/refunds", "By card"),
        ("wifi goes away every few minutes", "technical/router", "Quick steps"),
        ("can I come to the shop at the weekend", "general/hours", "Stores"),
    ],
)
async def test_a_question_finds_the_section_that_answers_it(
    rag: Rag, mode: str, query: str, document: str, section: str
) -> None:
    await rag.ingest(*ALL)
    best = (await rag.search(query, mode=mode))[0]
    assert (best.document, best.section) == (document, section)
    assert best.score > 0.38 and best.title and best.specialty


async def test_full_text_finds_exact_words_and_keywords(rag: Rag) -> None:
    await rag.ingest(*ALL)
    assert words(await rag.search("error E-4711 in the app", mode="text"))[0] == "technical/router"
    assert set(words(await rag.search("refund chargeback", mode="text"))) == {"returns/refunds"}


@pytest.mark.parametrize("query", ["who won the world cup in 1998", "write a poem about the sea", "asdf jkl qwer"])
async def test_a_question_out_of_scope_finds_nothing(rag: Rag, query: str) -> None:
    await rag.ingest(*ALL)
    assert await rag.search(query) == []


async def test_a_specialty_sees_its_own_and_the_general_documents(rag: Rag) -> None:
    await rag.ingest(*ALL)
    query = "refund for my order from the store, the router and the charge"
    everything = words(await rag.search(query, limit=50))
    assert {"billing/duplicate", "returns/refunds"} <= set(everything)
    found = await rag.search(query, specialty="billing", limit=50)
    assert found and {passage.specialty for passage in found} <= {"billing", "general"}
    assert set(words(await rag.search("open on Sunday", specialty="billing"))) == {"general/hours"}


async def test_a_tenant_never_sees_the_documents_of_another(rag: Rag) -> None:
    await rag.ingest(DUPLICATE)
    await rag.ingest(Document("billing/duplicate", "Charged twice", "Ours: ask Mara.", "billing"), tenant="other")
    for mode in ("hybrid", "vector", "text"):
        assert "Mara" not in str(await rag.search("charged twice ask Mara", mode=mode))
        assert {one.text for one in await rag.search("charged twice", tenant="other", mode=mode)} == {"Ours: ask Mara."}
    assert await rag.search("charged twice", tenant="third") == []


async def test_the_same_again_changes_nothing_and_a_change_replaces_everything(rag: Rag) -> None:
    first = await rag.ingest(*ALL)
    assert (first.stored, first.unchanged, first.chunks) == (4, 0, 5)
    again = await rag.ingest(*ALL)
    assert (again.stored, again.unchanged, again.chunks) == (0, 4, 0)
    shorter = Document(REFUNDS.document_id, REFUNDS.title, "## By card\nNow three working days.", "returns")
    changed = await rag.ingest(shorter, DUPLICATE)
    assert (changed.stored, changed.unchanged, changed.chunks) == (1, 1, 1)
    found = [one.text for one in await rag.search("refund to card or wallet", limit=50) if "returns" in one.document]
    assert found == ["Now three working days."]


async def test_a_document_that_lost_its_words_is_gone(rag: Rag) -> None:
    await rag.ingest(*ALL)
    reply = await rag.ingest(Document(DUPLICATE.document_id, DUPLICATE.title, "## Nothing here\n", "billing"))
    assert (reply.stored, reply.skipped[0].reason) == (0, "it has no words")
    assert "billing/duplicate" not in words(await rag.search("charged twice", limit=50))


async def test_ids_and_words_with_quotes_are_only_words(rag: Rag) -> None:
    odd = Document("o'clock'; --", 'It\'s "quoted"', "The clock strikes at five o'clock.")
    await rag.ingest(odd, *ALL)
    assert (await rag.ingest(odd)).unchanged == 1
    assert words(await rag.search("when does the clock strike"))[0] == odd.document_id


async def test_a_long_section_is_found_by_a_detail_in_its_middle_and_shown_around_it(rag: Rag) -> None:
    filler = " ".join(f"Paragraph {number} talks about parcels and nothing else of interest." for number in range(60))
    detail = "The blue hamster unlocks the secret menu of the television."
    await rag.ingest(Document("long", "Handbook", f"## All\n{filler}\n{detail}\n{filler}"))
    best = (await rag.search("which animal unlocks the secret menu of the television"))[0]
    assert detail in best.text and 80 < len(best.text.split()) <= 160


async def test_whoever_waits_no_longer_is_not_searched_for(rag: Rag) -> None:
    await rag.ingest(*ALL)
    question = encode(SearchRequest("how long does a refund to a card take"))
    await rag.ask(subjects.RAG_SEARCH, question, {DEADLINE: str(now_ms() + 10_000)})
    with pytest.raises(TransientError, match="waits for it no longer"):
        await rag.ask(subjects.RAG_SEARCH, question, {DEADLINE: str(now_ms() - 1)})
    with pytest.raises(PermanentError, match="milliseconds since 1970"):
        await rag.ask(subjects.RAG_SEARCH, question, {DEADLINE: "soon"})


async def test_knowledge_stays_over_a_restart(start: Start) -> None:
    before = await start()
    await before.until_ready()
    await before.ingest(*ALL)
    await before.service.close()
    after = await start()
    await after.until_ready()
    assert words(await after.search("charged twice"))[0] == "billing/duplicate"
    assert (await after.ingest(*ALL)).unchanged == 4


async def test_two_instances_on_one_folder_see_what_the_other_stores(start: Start) -> None:
    one, two = await start(), await start()
    await asyncio.gather(one.until_ready(), two.until_ready())
    await asyncio.gather(one.ingest(REFUNDS, HOURS), two.ingest(DUPLICATE, ROUTER))
    async with asyncio.timeout(10):
        for rag in (one, two):
            while not {"billing/duplicate"} <= set(words(await rag.search("charged twice"))):
                await asyncio.sleep(0.05)
            while not {"returns/refunds"} <= set(words(await rag.search("refund to my card"))):
                await asyncio.sleep(0.05)


async def test_searches_are_answered_while_documents_arrive(rag: Rag) -> None:
    await rag.ingest(*ALL)
    many = [Document(f"n{number}", f"Note {number}", f"Note {number} is about parcels. " * 20) for number in range(40)]
    ingesting = asyncio.create_task(rag.ingest(*many))
    answered = 0
    while not ingesting.done():
        assert words(await rag.search("charged twice for an order"))[0] == "billing/duplicate"
        answered += 1
    assert ingesting.result().stored == 40 and answered > 3


async def test_vectors_are_of_length_one_and_the_same_for_the_same_text(rag: Rag) -> None:
    reply = await rag.embed("refund", "router", "refund")
    assert (reply.model, reply.dimensions, len(reply.vectors)) == ("all-MiniLM-L6-v2", 384, 3 * 384 * 4)
    size = 384 * 4
    first, second, third = (reply.vectors[at : at + size] for at in range(0, 3 * size, size))
    assert first == third != second


async def test_a_text_of_64_kilobytes_is_embedded_by_its_beginning(rag: Rag) -> None:
    long = "refund " * 9_000
    assert (await rag.embed(long)).vectors == (await rag.embed("refund " * 500)).vectors
