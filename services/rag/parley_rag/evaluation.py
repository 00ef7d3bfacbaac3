"""`parley kb eval`: how good search is on passages and questions with known answers, measured without a mesh."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import msgspec

from parley_embedding.minilm import load
from parley_proto.errors import PermanentError
from parley_proto.rag import Document, SearchRequest
from parley_rag.answers import Answers
from parley_rag.articles import read_articles
from parley_rag.chunking import Sizes
from parley_rag.domain import Mode, Ranked, answered, ranked
from parley_rag.embedding import Encoder, InProcess
from parley_rag.judged import Question, questions_of
from parley_rag.knowledge import Knowledge
from parley_rag.lance import LanceStore
from parley_rag.measures import auroc, mean, most_recall, ndcg, percentile, recall, reciprocal_rank
from parley_rag.queries import QueryWorkers
from parley_rag.reading import read
from parley_rag.settings import Settings
from parley_rag.writer import Writer

MODES: tuple[Mode, ...] = get_args(Mode)
DEPTH = 10
_DATA = ".parley"
_AT_ONCE = 200
_BATCH = 32


class Figures(msgspec.Struct, frozen=True):
    """One mode over all questions. Ranks count documents, each where its best section stands.

    `answered` is the share of questions that the floor lets through; the ranks are taken before it. `silenced` is the
    share of the unanswerable ones that it holds back, and `auroc` how well similarity tells the two apart; both are
    None without unanswerable questions.
    """

    mode: Mode
    recall_1: float
    recall_5: float
    ndcg_10: float
    mrr: float
    answered: float
    p50_ms: float
    p99_ms: float
    silenced: float | None = None
    auroc: float | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """`most_recall_5` is what a perfect ranking reaches: below 1 where questions have more than five gold passages."""

    documents: int
    windows: int
    questions: int
    most_recall_5: float
    modes: list[Figures]


class Asked(msgspec.Struct, frozen=True):
    """What came of one question: the documents in their order, the best similarity, and milliseconds."""

    documents: list[str]
    similarity: float
    answered: bool
    ms: float


class Bench:
    """The service's own search over one fresh table, the way from a question to its ranking."""

    def __init__(self, store: LanceStore, knowledge: Knowledge, floor: float) -> None:
        self._store = store
        self.knowledge = knowledge
        self._floor = floor

    async def take_in(self, documents: Sequence[Document]) -> int:
        """Store `documents`; how many windows they make. PermanentError for one that is refused."""
        for at in range(0, len(documents), _AT_ONCE):
            reply = await self.knowledge.ingest("default", documents[at : at + _AT_ONCE])
            if reply.skipped:
                raise _refused(reply.skipped[0].document_id, reply.skipped[0].reason)
        await self._store.tend()
        await self._store.index_vectors()
        return await self._store.rows()

    async def ask(self, question: Question, mode: Mode) -> Asked:
        request = SearchRequest(question.text, mode=mode, history=question.history)
        began = time.perf_counter()
        ranking = ranked(await self.knowledge.found(request), mode)
        ms = 1000 * (time.perf_counter() - began)
        best = max((one.similarity for one in ranking), default=-1.0)
        return Asked(_documents(ranking), best, answered(ranking, self._floor), ms)


def run(args: argparse.Namespace) -> int:
    """Measure and print. `args`: passages, questions, unanswerable, limit, precision, data (else PARLEY_DATA), json.

    ParleyError for what can't be read or can't be asked, with its line.
    """
    evaluation = asyncio.run(evaluate(args))
    print(msgspec.json.encode(evaluation).decode() if args.json else table(evaluation))
    return 0


async def evaluate(args: argparse.Namespace) -> Evaluation:
    """The figures of every mode on a table of its own, which is gone afterwards."""
    documents = read_documents(Path(args.passages))
    known = {document.document_id for document in documents}
    questions = questions_of(Path(args.questions), known)[: args.limit or None]
    unanswerable = questions_of(Path(args.unanswerable), None)[: args.limit or None] if args.unanswerable else []
    data = Path(args.data or os.environ.get("PARLEY_DATA") or _DATA)
    async with opened(data, args.precision) as bench:
        windows = await bench.take_in(documents)
        modes = await compared(bench, questions, unanswerable)
    most = mean([most_recall(question.gold, 5) for question in questions])
    return Evaluation(len(documents), windows, len(questions), most, modes)


async def compared(bench: Bench, questions: Sequence[Question], unanswerable: Sequence[Question] = ()) -> list[Figures]:
    """The figures of every mode on what `bench` has taken in."""
    return [await _measured(bench, mode, questions, unanswerable) for mode in MODES]


@asynccontextmanager
async def opened(data: Path, precision: str) -> AsyncIterator[Bench]:
    """The service's parts on a temporary table, without caches; the model's graph is kept in `data`."""
    settings = Settings()
    model = await asyncio.to_thread(load, data / "rag" / "model", precision, 2)
    encoder = Encoder(InProcess(model, portion=_BATCH), batch_size=_BATCH, cache_size=0)
    workers = QueryWorkers(least=1, most=1, waiting=1)
    with tempfile.TemporaryDirectory(prefix="parley-eval-") as folder:
        store = LanceStore(folder, model.name, model.dimensions)
        await store.create()
        knowledge = Knowledge(
            store,
            encoder,
            Writer(None),
            answers=Answers(0),
            workers=workers,
            sizes=Sizes(settings.window_words, settings.overlap_words, settings.passage_words),
            floor=settings.floor,
            candidates=settings.candidates,
        )
        try:
            yield Bench(store, knowledge, settings.floor)
        finally:
            await workers.close()
            await encoder.close()
            await store.close()


def read_documents(path: Path) -> list[Document]:
    """The documents of a file or of all files in a folder; PermanentError for a row or a file that is refused."""
    if not path.exists():
        raise PermanentError(f"There is no {path}: name a file or a folder of passages.", code="unreadable_document")
    reading = read_articles(path) if path.is_dir() else read(path.name, path.read_bytes())
    if reading.skipped:
        raise _refused(reading.skipped[0].document_id, reading.skipped[0].reason)
    return reading.documents


def table(evaluation: Evaluation) -> str:
    """The figures for a person."""
    head = f"{evaluation.documents:,} documents, {evaluation.windows:,} windows, {evaluation.questions:,} questions"
    if evaluation.most_recall_5 < 1:
        head += f" (with so many gold passages recall@5 reaches {evaluation.most_recall_5:.3f} at most)"
    columns = ["MODE", "RECALL@1", "RECALL@5", "NDCG@10", "MRR", "ANSWERED", "P50 MS", "P99 MS"]
    apart = evaluation.modes[0].auroc is not None
    rows = [[*columns, "SILENCED", "AUROC"] if apart else columns, *map(_cells, evaluation.modes)]
    return "\n".join([head, "", *("  ".join(cell.ljust(8) for cell in row).rstrip() for row in rows)])


async def _measured(
    bench: Bench, mode: Mode, questions: Sequence[Question], unanswerable: Sequence[Question]
) -> Figures:
    asked = [await bench.ask(question, mode) for question in questions]
    others = [await bench.ask(question, mode) for question in unanswerable]
    pairs = [(one.documents, question.gold) for one, question in zip(asked, questions, strict=True)]
    times = [one.ms for one in asked]
    return Figures(
        mode=mode,
        recall_1=mean([recall(found, gold, 1) for found, gold in pairs]),
        recall_5=mean([recall(found, gold, 5) for found, gold in pairs]),
        ndcg_10=mean([ndcg(found, gold, DEPTH) for found, gold in pairs]),
        mrr=mean([reciprocal_rank(found, gold, DEPTH) for found, gold in pairs]),
        answered=mean([one.answered for one in asked]),
        p50_ms=percentile(times, 0.5),
        p99_ms=percentile(times, 0.99),
        silenced=mean([not one.answered for one in others]) if others else None,
        auroc=auroc([one.similarity for one in asked], [one.similarity for one in others]) if others else None,
    )


def _documents(ranking: Sequence[Ranked]) -> list[str]:
    return list(dict.fromkeys(one.hit.document for one in ranking))[:DEPTH]


def _cells(figures: Figures) -> list[str]:
    values: list[Any] = [figures.recall_1, figures.recall_5, figures.ndcg_10, figures.mrr, figures.answered]
    cells = [figures.mode, *(f"{value:.3f}" for value in values), f"{figures.p50_ms:.1f}", f"{figures.p99_ms:.1f}"]
    if figures.auroc is None or figures.silenced is None:
        return cells
    return [*cells, f"{figures.silenced:.3f}", f"{figures.auroc:.3f}"]


def _refused(what: str, reason: str) -> PermanentError:
    return PermanentError(f"{what} can't be taken in: {reason}.", code="unreadable_document")
