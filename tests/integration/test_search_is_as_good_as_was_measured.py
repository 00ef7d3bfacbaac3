from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from rag_service import Rag, shared, words

from parley_proto.documents import parse
from parley_proto.rag import Document

pytest_plugins = ("rag_fixtures",)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shared(name).read_text("utf-8").splitlines()]


def gold(row: dict[str, Any]) -> set[str]:
    found = row["gold_passages"]
    return set(ast.literal_eval(found) if isinstance(found, str) else found)


async def take_in(rag: Rag, name: str) -> None:
    documents = parse(name, shared(name).read_text("utf-8"))
    for at in range(0, len(documents), 200):
        reply = await rag.ingest(*documents[at : at + 200])
        assert not reply.skipped


async def recall(rag: Rag, questions: list[dict[str, Any]], mode: str = "hybrid") -> float:
    shares = []
    for row in questions:
        found = words(await rag.search(row["question"], mode=mode))
        shares.append(len(gold(row) & set(found)) / len(gold(row)))
    return sum(shares) / len(shares)


@pytest.mark.timeout(400)
async def test_a_product_manual_answers_nine_questions_of_ten(rag: Rag) -> None:
    questions = rows("emanual_questions.jsonl")
    await take_in(rag, "emanual_passages.jsonl")
    hybrid = await recall(rag, questions)
    assert hybrid > 0.88
    assert hybrid > await recall(rag, questions, "vector")
    assert hybrid > await recall(rag, questions, "text")


@pytest.mark.timeout(400)
async def test_frequent_questions_are_found_in_other_words_and_other_topics_find_nothing(rag: Rag) -> None:
    await take_in(rag, "stackfaq_passages.jsonl")
    await rag.ingest(Document("shop", "Wrapping", "Larkfield wraps presents in green paper with a silver bow."))
    assert words(await rag.search("how do you wrap presents"))[0] == "shop"
    assert await recall(rag, rows("stackfaq_questions.jsonl")[::4]) > 0.97
    unrelated = [row["text"] for row in rows("clinc150.jsonl") if row["label"] == "oos"][:100]
    silent = [not await rag.search(text) for text in unrelated]
    assert sum(silent) / len(silent) > 0.85
