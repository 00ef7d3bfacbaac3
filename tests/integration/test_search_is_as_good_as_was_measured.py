"""Floors for what `parley kb eval` measured, on the service's own parts with the real model."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from rag_fixtures import model_folder
from rag_service import shared

from parley_proto.errors import PermanentError
from parley_proto.rag import SearchRequest
from parley_rag.evaluation import Bench, Evaluation, Figures, compared, evaluate, opened, read_documents, run, table
from parley_rag.judged import Question, questions_of

VAGUE = ("how do I do that on mine?", "and where do I find that?", "can you show me how it works?")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model's graph is built once for the tests here."""
    return model_folder(tmp_path_factory) / "evaluation"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def frequent(data: Path) -> AsyncIterator[Bench]:
    """Everything people ask often, taken in once: to embed it takes longer than to ask."""
    async with opened(data, "fp32") as bench:
        await bench.take_in(read_documents(shared("stackfaq_passages.jsonl")))
        yield bench


@pytest.fixture(scope="session")
def asked() -> list[Question]:
    """How people put what `frequent` answers."""
    known = {document.document_id for document in read_documents(shared("stackfaq_passages.jsonl"))}
    return questions_of(shared("stackfaq_questions.jsonl"), known)


def arguments(passages: Path, questions: Path, data: Path, **more: Any) -> argparse.Namespace:
    values = {"limit": 0, "precision": "fp32", "unanswerable": "", "json": False}
    return argparse.Namespace(passages=str(passages), questions=str(questions), data=str(data), **(values | more))


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shared(name).read_text("utf-8").splitlines()]


def write(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    return path


def by_mode(modes: list[Figures]) -> dict[str, Figures]:
    return {figures.mode: figures for figures in modes}


def measures(figures: Figures) -> tuple[float, float, float, float]:
    return figures.recall_1, figures.recall_5, figures.ndcg_10, figures.mrr


def assert_not_below(better: Figures, *others: Figures) -> None:
    for other in others:
        assert all(one >= two - 0.003 for one, two in zip(measures(better), measures(other), strict=True))


async def test_a_product_manual_answers_nine_questions_of_ten(data: Path, tmp_path: Path) -> None:
    unrelated = write(tmp_path / "oos.jsonl", *[row for row in rows("clinc150.jsonl") if row["label"] == "oos"][:100])
    passages, questions = shared("emanual_passages.jsonl"), shared("emanual_questions.jsonl")
    found = by_mode((await evaluate(arguments(passages, questions, data, unanswerable=str(unrelated)))).modes)
    hybrid = found["hybrid"]
    assert hybrid.recall_1 > 0.58 and hybrid.recall_5 > 0.89 and hybrid.ndcg_10 > 0.80 and hybrid.mrr > 0.75
    assert_not_below(hybrid, found["vector"], found["text"])
    assert hybrid.answered > 0.98
    assert hybrid.silenced and hybrid.silenced > 0.9
    assert hybrid.auroc and hybrid.auroc > 0.98


@pytest.mark.asyncio(loop_scope="module")
async def test_frequent_questions_are_found_in_other_words(frequent: Bench, asked: list[Question]) -> None:
    found = by_mode(await compared(frequent, asked[:300]))
    assert found["hybrid"].recall_1 > 0.92 and found["hybrid"].recall_5 > 0.99
    assert_not_below(found["hybrid"], found["vector"], found["text"])


async def recall_at_5(bench: Bench, questions: list[Question]) -> float:
    asked = [await bench.ask(question, "hybrid") for question in questions]
    hits = [bool(question.gold & set(one.documents[:5])) for one, question in zip(asked, questions, strict=True)]
    return sum(hits) / len(hits)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_said_before_finds_a_vague_question_and_harms_no_whole_one(
    frequent: Bench, asked: list[Question]
) -> None:
    whole = asked[::8]
    vague = [Question(VAGUE[number % 3], one.gold, ["hi there", one.text]) for number, one in enumerate(whole)]
    elsewhere = [
        Question(one.text, one.gold, [whole[number - 7].text, whole[number - 9].text])
        for number, one in enumerate(whole)
    ]
    assert await recall_at_5(frequent, [Question(one.text, one.gold) for one in vague]) < 0.2
    assert await recall_at_5(frequent, vague) > 0.9
    alone = await recall_at_5(frequent, whole)
    assert alone > 0.98
    assert await recall_at_5(frequent, elsewhere) >= alone - 0.02


async def test_a_passage_stands_where_its_offsets_say(data: Path) -> None:
    articles = read_documents(Path(__file__).parents[2] / "services/rag/parley_rag/knowledge/billing")
    texts = {document.document_id: document.text for document in articles}
    async with opened(data, "fp32") as bench:
        await bench.take_in(articles)
        passages = await bench.knowledge.search(SearchRequest("how long does a refund take", limit=10))
    assert len(passages) >= 3
    assert all(texts[one.document][one.start : one.end] == one.text for one in passages)
    assert all(0 < one.score < 1 for one in passages)


def test_the_command_prints_a_table_or_json(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    passages = tmp_path / "passages"
    passages.mkdir()
    (passages / "refunds.md").write_text("# Refunds\n\n## By card\nA refund to a card takes five days.\n", "utf-8")
    (passages / "hours.md").write_text("# Opening hours\n\nOur stores are open on Sunday.\n", "utf-8")
    questions = write(tmp_path / "q.jsonl", {"question": "how long does a refund take", "gold": ["refunds"]})
    assert run(arguments(passages, questions, data)) == 0
    printed = capsys.readouterr().out
    assert "2 documents, 2 windows, 1 questions" in printed
    assert "RECALL@5" in printed and "AUROC" not in printed
    assert run(arguments(passages, questions, data, json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(mode["mode"], mode["recall_1"], mode["mrr"]) for mode in found["modes"]] == [
        ("hybrid", 1.0, 1.0),
        ("vector", 1.0, 1.0),
        ("text", 1.0, 1.0),
    ]


async def test_passages_that_are_refused_or_missing_end_the_measurement(data: Path, tmp_path: Path) -> None:
    questions = write(tmp_path / "q.jsonl", {"question": "how long", "gold": ["a"]})
    with pytest.raises(PermanentError, match="There is no"):
        await evaluate(arguments(tmp_path / "nowhere", questions, data))
    unread = write(tmp_path / "p.jsonl", {"id": "a", "text": "Five days."}, {"id": "b"})
    with pytest.raises(PermanentError, match="line 2 can't be taken in"):
        await evaluate(arguments(unread, questions, data))


def test_a_table_says_when_even_a_perfect_ranking_misses_some() -> None:
    figures = Figures("hybrid", 0.1, 0.5, 0.6, 0.7, 1.0, 5.0, 9.0, 0.9, 0.99)
    printed = table(Evaluation(10, 20, 5, 0.62, [figures]))
    assert "reaches 0.620 at most" in printed
    assert " ".join(printed.splitlines()[-1].split()) == "hybrid 0.100 0.500 0.600 0.700 1.000 5.0 9.0 0.900 0.990"
