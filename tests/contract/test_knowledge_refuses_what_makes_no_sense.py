from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from parley_proto.envelope import decode
from parley_proto.errors import PermanentError
from parley_proto.rag import IngestReply, SearchReply
from parley_rag.adapters import Vector
from parley_rag.answers import Answers
from parley_rag.chunking import Sizes
from parley_rag.embedding import Encoder, InProcess
from parley_rag.handlers import Handlers
from parley_rag.knowledge import Knowledge
from parley_rag.lance import LanceStore
from parley_rag.queries import QueryWorkers
from parley_rag.writer import Writer

DIMENSIONS = 384
OK = {"document_id": "ok", "title": "Refunds", "text": "Five working days."}


class PaperModel:
    """Every text is the same to it."""

    name, dimensions = "paper", DIMENSIONS

    def encode(self, texts: Sequence[str]) -> Vector:
        return np.full((len(texts), DIMENSIONS), DIMENSIONS**-0.5, np.float32)


@pytest.fixture
async def handlers(tmp_path: Path) -> AsyncIterator[Handlers]:
    encoder = Encoder(InProcess(PaperModel()), batch_size=8, cache_size=8)
    store = LanceStore(tmp_path, PaperModel.name, DIMENSIONS)
    await store.create()
    workers = QueryWorkers(least=1, most=2, waiting=10)
    knowledge = Knowledge(
        store,
        encoder,
        Writer(tmp_path),
        answers=Answers(10),
        workers=workers,
        sizes=Sizes(),
        floor=0.4,
        candidates=10,
    )
    yield Handlers(knowledge, encoder, lambda: "")
    await workers.close()
    await encoder.close()


def data(**fields: Any) -> bytes:
    return msgspec.json.encode(fields)


MALFORMED = [
    b"",
    b"\x00",
    b"null",
    b"[]",
    b'"refund"',
    b"{",
    b"\xff\xfe",
    b'{"query":"\xc3("}',
    b"[" * 100_000,
    b'{"query":' + b"9" * 100_000 + b"}",
    b'{"query":"\\ud800"}',
    b'{"query":NaN}',
]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:12]))
async def test_bytes_that_are_no_request_are_malformed_everywhere(handlers: Handlers, body: bytes) -> None:
    for answer in (handlers.search, handlers.embed, handlers.ingest):
        with pytest.raises(PermanentError, match=r"The message can't be read") as caught:
            await answer(body, {})
        assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    ("fields", "code", "sentence"),
    [
        ({"query": ""}, "empty_query", "The search query is empty: say what to look for."),
        ({"query": " \n\t "}, "empty_query", "The search query is empty"),
        ({"query": "x" * 102_400}, "query_too_long", "has 102,400 characters: send at most 8,000"),
        ({"query": "q", "limit": 0}, "bad_limit", "The search limit is 0: ask for 1 to 50"),
        ({"query": "q", "limit": -1}, "bad_limit", "The search limit is -1"),
        ({"query": "q", "limit": 10**9}, "bad_limit", "ask for 1 to 50"),
        ({"query": "q", "limit": "5"}, "malformed", r"Expected `int`, got `str` - at `\$.limit`"),
        ({"query": "q", "limit": 2.5}, "malformed", "Expected `int`"),
        ({"query": ["q"]}, "malformed", r"Expected `str`, got `array` - at `\$.query`"),
        ({"query": None}, "malformed", "Expected `str`"),
        ({}, "malformed", "missing required field `query`"),
        ({"query": "q", "mode": "psychic"}, "malformed", "Invalid enum value 'psychic'"),
        ({"query": "q", "tenant": ""}, "bad_tenant", "'' can't be a tenant"),
        ({"query": "q", "tenant": "a' OR 'b' = 'b"}, "bad_tenant", "can't be a tenant"),
        ({"query": "q", "tenant": "x" * 65}, "bad_tenant", "can't be a tenant"),
        ({"query": "q", "specialty": "billing') OR (1=1"}, "bad_specialty", "can't be a specialty"),
        ({"query": "q", "specialty": "Billing"}, "bad_specialty", "use a-z, 0-9 and dashes"),
        ({"query": "q", "specialty": "a\r\nb"}, "bad_specialty", "can't be a specialty"),
        ({"query": "q", "history": ["x" * 102_400]}, "query_too_long", "has 102,400 characters"),
        ({"query": "q", "history": ["x"] * 51}, "query_too_long", "51 earlier turns are too many"),
        ({"query": "q", "filters": {"colour": "red"}}, "unknown_filter", "There is no field 'colour' to filter by"),
        ({"query": "q", "at": "soon"}, "bad_day", "'soon' is no date"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused_in_a_sentence(
    handlers: Handlers, fields: dict[str, Any], code: str, sentence: str
) -> None:
    with pytest.raises(PermanentError, match=sentence) as caught:
        await handlers.search(data(**fields), {})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("fields", "code", "sentence"),
    [
        ({"texts": []}, "empty_texts", "There is no text to embed"),
        ({"texts": ["a", "  "]}, "empty_texts", "Text 1 to embed is empty"),
        ({"texts": ["a"] * 257}, "too_many_texts", "257 texts are too many to embed at once: send at most 256"),
        ({"texts": ["a", "b" * 65_537]}, "text_too_long", "Text 1 to embed has 65,537 characters"),
        ({"texts": "a"}, "malformed", "Expected `array`, got `str`"),
        ({"texts": [1]}, "malformed", "Expected `str`, got `int`"),
        ({"texts": [None]}, "malformed", "Expected `str`, got `null`"),
    ],
)
async def test_texts_that_can_not_be_embedded_are_refused_in_a_sentence(
    handlers: Handlers, fields: dict[str, Any], code: str, sentence: str
) -> None:
    with pytest.raises(PermanentError, match=sentence) as caught:
        await handlers.embed(data(**fields), {})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("fields", "code", "sentence"),
    [
        ({"documents": []}, "empty_documents", "There is no document to ingest"),
        ({"documents": [OK] * 1001}, "too_many_documents", "1,001 documents are too many at once"),
        ({"documents": [OK], "tenant": "../x"}, "bad_tenant", "can't be a tenant"),
        ({"documents": [{"document_id": "a"}]}, "malformed", "missing required field `title`"),
        ({"documents": [OK | {"text": 5}]}, "malformed", r"at `\$.documents\[0\].text`"),
    ],
)
async def test_an_ingestion_that_makes_no_sense_is_refused_in_a_sentence(
    handlers: Handlers, fields: dict[str, Any], code: str, sentence: str
) -> None:
    with pytest.raises(PermanentError, match=sentence) as caught:
        await handlers.ingest(data(**fields), {})
    assert caught.value.code == code


BAD_DOCUMENTS = [
    ({"document_id": " "}, "it has no document_id"),
    ({"document_id": "a\nb"}, "control characters"),
    ({"document_id": "x" * 301}, "longer than 300 characters"),
    ({"title": "t" * 301}, "its title is longer than 300 characters"),
    ({"specialty": "Bill ing"}, "'Bill ing' can't be a specialty"),
    ({"specialty": ""}, "'' can't be a specialty"),
    ({"access": "Every One"}, "'Every One' can't be a group that may read it"),
    ({"language": "german"}, "'german' is no language"),
    ({"valid_from": "soon"}, "is no date"),
    ({"valid_from": "2026-02-01", "valid_until": "2026-01-01"}, "its valid_until is before its valid_from"),
    ({"text": " \n "}, "it has no text"),
    ({"text": "## Only a heading\n"}, "it has no words"),
    ({"text": "w " * 500_001}, "its text is longer than 1,000,000 characters"),
]


@pytest.mark.parametrize(("wrong", "reason"), BAD_DOCUMENTS)
async def test_a_bad_document_is_skipped_with_its_reason_and_a_good_one_beside_it_is_stored(
    handlers: Handlers, wrong: dict[str, str], reason: str
) -> None:
    bad = OK | {"document_id": "bad"} | wrong
    reply: IngestReply = decode(await handlers.ingest(data(documents=[bad, OK]), {}), IngestReply)
    assert (reply.stored, reply.chunks, len(reply.skipped)) == (1, 1, 1)
    assert reason in reply.skipped[0].reason


async def test_the_last_of_two_documents_with_one_id_is_stored(handlers: Handlers) -> None:
    documents = [OK | {"text": "Old text."}, OK]
    reply: IngestReply = decode(await handlers.ingest(data(documents=documents), {}), IngestReply)
    assert (reply.stored, [one.reason for one in reply.skipped]) == (
        1,
        ["the same document_id comes again later in this batch"],
    )
    found: SearchReply = decode(await handlers.search(data(query="days"), {}), SearchReply)
    assert [passage.text for passage in found.passages] == ["Five working days."]


@pytest.mark.parametrize(
    "query", ["'", '"', "a AND (", "*", "~", "title:x", "\x00", "; DROP TABLE", "%", "\u202e", "🙂", "-", "x" * 8000]
)
async def test_no_query_breaks_the_full_text_search(handlers: Handlers, query: str) -> None:
    await handlers.ingest(data(documents=[OK]), {})
    for mode in ("hybrid", "text", "vector"):
        found: SearchReply = decode(await handlers.search(data(query=query, mode=mode), {}), SearchReply)
        assert len(found.passages) == (0 if mode == "text" else 1)
