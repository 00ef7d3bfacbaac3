from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from parley_proto.errors import PermanentError, TransientError
from parley_rag.embedding import Encoder, WorkerLostError
from parley_rag.embedding.sizing import Sizing

QUICK = Sizing(least=1, most=3, backlog=2, moment_s=0.02, idle_s=0.1)


@pytest.mark.parametrize(
    ("workers", "starting", "waiting", "for_s", "grows"),
    [
        (0, 0, 0, 0.0, True),
        (1, 0, 9, 0.1, True),
        (1, 0, 9, 0.09, False),
        (1, 0, 8, 9.0, False),
        (2, 1, 9, 9.0, False),
        (2, 0, 9, 9.0, True),
        (3, 0, 999, 9.0, False),
    ],
)
def test_one_more_comes_when_too_much_waits_for_too_long(
    workers: int, starting: int, waiting: int, for_s: float, grows: bool
) -> None:
    assert Sizing(1, 3, backlog=8).grows(workers, starting, waiting, for_s) is grows


@pytest.mark.parametrize(("workers", "idle_s", "shrinks"), [(2, 30.0, True), (2, 29.9, False), (1, 999.0, False)])
def test_one_goes_when_it_has_been_idle_but_the_last_stays(workers: int, idle_s: float, shrinks: bool) -> None:
    assert Sizing(1, 3, backlog=8).shrinks(workers, idle_s) is shrinks


class PaperWorker:
    """Encodes while `open` is set; `lose` ends it as a kill would."""

    def __init__(self, of: PaperEmbedder) -> None:
        self._of = of
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False

    async def encode(self, texts: Sequence[str], urgent: bool) -> list[bytes]:
        self._of.batches.append(list(texts))
        opened = asyncio.ensure_future(self._of.open.wait())
        await asyncio.wait((opened, self.gone), return_when=asyncio.FIRST_COMPLETED)
        opened.cancel()
        if self.gone.done() or self._of.poison in texts:
            self.lose()
            raise WorkerLostError("The embedding process has ended in the middle of its work.")
        if self._of.refused in texts:
            raise PermanentError("The text is too long for the model.", code="text_too_long")
        return [text.encode() for text in texts]

    def lose(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    async def close(self) -> None:
        self.closed = True


class PaperEmbedder:
    name, dimensions, least, most, portion = "paper", 1, 1, 3, 2

    def __init__(self) -> None:
        self.workers: list[PaperWorker] = []
        self.batches: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.poison = self.refused = "-"
        self.absent = False

    @property
    def alive(self) -> list[PaperWorker]:
        return [worker for worker in self.workers if not worker.closed]

    async def start(self) -> None: ...

    async def worker(self) -> PaperWorker:
        if self.absent:
            raise TransientError("An embedding process can't be started: no memory.", code="embedding_unavailable")
        self.workers.append(PaperWorker(self))
        return self.workers[-1]

    async def close(self) -> None: ...


@pytest.fixture
async def paper() -> AsyncIterator[tuple[PaperEmbedder, Encoder]]:
    embedder = PaperEmbedder()
    encoder = Encoder(embedder, batch_size=4, cache_size=0, sizing=QUICK)
    yield embedder, encoder
    embedder.open.set()
    embedder.absent = False
    await encoder.close()
    assert not embedder.alive


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.002)


def asking(encoder: Encoder, count: int) -> list[asyncio.Task[list[bytes]]]:
    return [asyncio.create_task(encoder.vectors([f"text {number}"])) for number in range(count)]


async def test_a_long_queue_brings_workers_up_to_the_most_and_idleness_takes_them(
    paper: tuple[PaperEmbedder, Encoder],
) -> None:
    embedder, encoder = paper
    embedder.open.clear()
    tasks = asking(encoder, 40)
    await until(lambda: encoder.workers == 3 and len(embedder.batches) == 3)
    embedder.open.set()
    assert [(await task)[0] for task in tasks] == [f"text {number}".encode() for number in range(40)]
    assert max(map(len, embedder.batches)) == 4 and len(embedder.workers) == 3
    await until(lambda: encoder.workers == 1)
    assert len(embedder.alive) == 1
    assert await encoder.vectors(["after that"]) == [b"after that"]


async def test_a_short_queue_brings_none(paper: tuple[PaperEmbedder, Encoder]) -> None:
    embedder, encoder = paper
    embedder.open.clear()
    tasks = asking(encoder, 1)
    await until(lambda: len(embedder.batches) == 1)
    tasks += asking(encoder, 3)[1:]
    await asyncio.sleep(5 * QUICK.moment_s)
    assert encoder.workers == 1 and encoder.waiting == 2
    embedder.open.set()
    await asyncio.gather(*tasks)


async def test_an_idle_worker_that_dies_is_replaced_before_it_is_needed(paper: tuple[PaperEmbedder, Encoder]) -> None:
    embedder, encoder = paper
    await encoder.vectors(["text"])
    embedder.workers[0].lose()
    await until(lambda: len(embedder.workers) == 2 and encoder.workers == 1)
    assert await encoder.vectors(["text"]) == [b"text"]


async def test_the_batch_of_a_worker_that_dies_goes_to_another(paper: tuple[PaperEmbedder, Encoder]) -> None:
    embedder, encoder = paper
    embedder.open.clear()
    tasks = asking(encoder, 1)
    await until(lambda: len(embedder.batches) == 1)
    later = asyncio.create_task(encoder.vectors(["later"]))
    await asyncio.sleep(0)
    embedder.workers[0].lose()
    embedder.open.set()
    assert await asyncio.gather(*tasks, later) == [[b"text 0"], [b"later"]]
    assert embedder.batches == [["text 0"], ["text 0", "later"]]


async def test_a_text_that_kills_is_given_to_two_workers_and_no_third(paper: tuple[PaperEmbedder, Encoder]) -> None:
    embedder, encoder = paper
    embedder.poison = "poison"
    with pytest.raises(TransientError, match="has ended in the middle") as caught:
        await encoder.vectors(["poison"])
    assert caught.value.code == "embedding_failed" and embedder.batches == [["poison"], ["poison"]]
    assert await encoder.vectors(["text"]) == [b"text"]


async def test_a_text_that_the_model_refuses_takes_no_other_with_it(paper: tuple[PaperEmbedder, Encoder]) -> None:
    embedder, encoder = paper
    embedder.refused = "text 2"
    embedder.open.clear()
    tasks = asking(encoder, 4)
    await asyncio.sleep(0)
    embedder.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [list, list, PermanentError, list]


async def test_without_any_worker_nobody_waits_and_one_that_comes_back_is_used(
    paper: tuple[PaperEmbedder, Encoder],
) -> None:
    embedder, encoder = paper
    embedder.absent = True
    for _ in range(2):
        with pytest.raises(TransientError, match="no memory") as caught:
            await encoder.vectors(["text"])
        assert caught.value.code == "embedding_unavailable"
    embedder.absent = False
    await until(lambda: encoder.workers == 1)
    assert await encoder.vectors(["text"]) == [b"text"]
