"""Group commit: one batch under way, all that comes meanwhile in the next, and each told of its own."""

from __future__ import annotations

import asyncio

import pytest

from parley_mesh import commits as module
from parley_mesh.bus import Write
from parley_mesh.commits import Commits
from parley_mesh.errors import from_api
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.errors import AmbiguousCommitError, ConflictError, ParleyError, StreamFullError, TransientError
from parley_testkit.bench import until


class SlowBus(MemoryBus):
    """Stores a batch when it may, and `failing` answers in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[list[str]] = []
        self.failing: dict[int, Exception] = {}
        self.free = asyncio.Event()

    async def commit(self, batch: list[Write]) -> int:
        self.sent.append([write.subject[-1] for write in batch])
        number = len(self.sent)
        await self.free.wait()
        if number in self.failing:
            raise self.failing[number]
        return await super().commit(batch)


def named(letter: str) -> str:
    return f"conversation-{letter * 4}"


def of(letter: str, expect: int = 0, shown: int = 1) -> list[Write]:
    conversation = named(letter)
    checkpoint = Write(subjects.checkpoint(conversation), b"state", {"Nats-Rollup": "sub"}, expect)
    return [*(Write(subjects.out(conversation), b"word") for _ in range(shown)), checkpoint]


async def started(commits: Commits, bus: SlowBus, *batches: list[Write]) -> list[asyncio.Task[int]]:
    """The first of them under way, the others waiting behind it."""
    tasks = [asyncio.create_task(commits.commit(batch)) for batch in batches[:1]]
    await until(lambda: len(bus.sent) == 1, 10)
    tasks += [asyncio.create_task(commits.commit(batch)) for batch in batches[1:]]
    await asyncio.sleep(0)
    return tasks


async def outcomes(commits: Commits, bus: SlowBus, *batches: list[Write]) -> list[int | BaseException]:
    """What each is told: the first went alone, the others came while it was under way."""
    tasks = await started(commits, bus, *batches)
    bus.free.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_comes_while_one_is_under_way_is_the_next_group() -> None:
    bus = SlowBus()
    told = await outcomes(Commits(bus), bus, of("a"), of("b"), of("c", shown=3), of("d"))
    assert bus.sent == [["a", "a"], ["b", "b", "c", "c", "c", "c", "d", "d"]]
    for letter, seq in zip("abcd", told, strict=True):
        stored = await bus.last(subjects.checkpoint(named(letter)))
        assert stored and stored.seq == seq


async def test_a_refusal_is_of_the_one_that_it_belongs_to() -> None:
    bus = SlowBus()
    told = await outcomes(Commits(bus), bus, of("a"), of("b"), of("c", expect=99), of("d"))
    assert isinstance(told[2], ConflictError)
    assert await bus.last(subjects.checkpoint(named("c"))) is None and await bus.last(subjects.out(named("c"))) is None
    for number, conversation in ((0, named("a")), (1, named("b")), (3, named("d"))):
        stored = await bus.last(subjects.checkpoint(conversation))
        assert stored and stored.seq == told[number]
        first = await bus.next(subjects.out(conversation), 0)
        assert first and await bus.next(subjects.out(conversation), first.seq) is None, "stored twice"


async def test_after_a_refusal_halves_are_tried_until_the_one_is_alone() -> None:
    bus = SlowBus()
    letters = "abcdefghi"
    batches = [of(letter, expect=99 if letter == "f" else 0) for letter in letters]
    told = await outcomes(Commits(bus), bus, *batches)
    assert [letter for letter, one in zip(letters, told, strict=True) if isinstance(one, ConflictError)] == ["f"]
    groups = ["".join(dict.fromkeys(group)) for group in bus.sent]
    assert groups == ["a", "bcdefghi", "bcde", "fghi", "fg", "f", "g", "hi"]


UNANSWERED = [
    AmbiguousCommitError("No answer.", code="timeout"),
    TransientError("Nobody answers.", code="no_responders"),
    TransientError("The connection is gone.", code="nats"),
]


@pytest.mark.parametrize("error", UNANSWERED)
async def test_without_an_answer_all_are_told_and_go_alone_the_next_time(error: ParleyError) -> None:
    bus = SlowBus()
    bus.failing[2] = error
    commits = Commits(bus)
    told = await outcomes(commits, bus, of("a"), of("b"), of("c"))
    for one in told[1:]:
        assert type(one) is type(error) and (one.message, one.code) == (error.message, error.code)
    assert told[1] is not told[2], "each raises its own"
    assert len(bus.sent) == 2
    await asyncio.gather(*(commits.commit(of(letter)) for letter in "bcde"))
    assert sorted("".join(group) for group in bus.sent[2:]) == ["bb", "cc", "ddee"]
    await asyncio.gather(*(commits.commit(of(letter, at)) for letter, at in (("b", told_at(bus, "b")), ("f", 0))))
    assert bus.sent[-1] == ["b", "b", "f", "f"], "who was stored alone is above suspicion again"


def told_at(bus: MemoryBus, letter: str) -> int:
    stored = bus._log.last(subjects.checkpoint(named(letter)))
    assert stored
    return stored.seq


async def test_one_that_is_never_answered_holds_others_up_only_once() -> None:
    """As where the server lets a service write some subjects only: it drops the rest without a word."""

    class Dropping(SlowBus):
        async def commit(self, batch: list[Write]) -> int:
            if any(write.subject.endswith("x" * 4) for write in batch):
                self.sent.append(["x"])
                await self.free.wait()
                raise AmbiguousCommitError("No answer.", code="timeout")
            return await MemoryBus.commit(self, batch)

    bus = Dropping()
    commits = Commits(bus)
    first = asyncio.create_task(commits.commit(of("x")))
    await until(lambda: len(bus.sent) == 1, 10)
    bus.free.set()
    with pytest.raises(AmbiguousCommitError):
        await first
    bus.free.clear()
    again = asyncio.create_task(commits.commit(of("x")))
    await until(lambda: len(bus.sent) == 2, 10)
    assert await commits.commit(of("b")), "while the other waits for its answer"
    assert not again.done()
    bus.free.set()
    with pytest.raises(AmbiguousCommitError):
        await again


async def test_who_was_only_late_is_no_suspect() -> None:
    bus = SlowBus()
    commits = Commits(bus)
    await outcomes(commits, bus, of("a", expect=99))
    told = await outcomes(Commits(bus), bus, of("b"), of("c", expect=99), of("d"))
    assert isinstance(told[1], ConflictError)
    bus.sent.clear()
    await asyncio.gather(commits.commit(of("e")), commits.commit(of("a")), commits.commit(of("f")))
    assert ["a" in group and len(group) > 2 for group in bus.sent] == [True]


async def test_behind_batches_that_a_silent_log_does_not_answer_nobody_waits_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_APART_WAIT_S", 0.05)
    bus = SlowBus()
    bus.failing[1] = AmbiguousCommitError("No answer.", code="timeout")
    commits = Commits(bus, most_writes=100)
    letters = "abcdefg"
    group = asyncio.gather(*(commits.commit(of(letter)) for letter in letters), return_exceptions=True)
    bus.free.set()
    assert all(isinstance(one, AmbiguousCommitError) for one in await group)
    bus.free.clear()
    again = [asyncio.create_task(commits.commit(of(letter))) for letter in letters]
    await until(lambda: sum(task.done() for task in again) == 2, 10)
    told = [task.exception() for task in again if task.done()]
    assert all(isinstance(one, TransientError) and "nothing was stored" in one.message for one in told)
    bus.free.set()
    assert len([task for task in await asyncio.gather(*again, return_exceptions=True) if isinstance(task, int)]) == 5


async def test_halves_do_not_wait_for_a_log_that_has_fallen_silent() -> None:
    bus = SlowBus()
    bus.failing = {2: ConflictError("Somebody else."), 3: UNANSWERED[0]}
    told = await outcomes(Commits(bus), bus, *(of(letter) for letter in "abcdefg"))
    assert len(bus.sent) == 3
    assert [type(one) for one in told[1:]] == [AmbiguousCommitError] * 3 + [TransientError] * 3


@pytest.mark.parametrize("error", [StreamFullError("Full."), TransientError("Busy.", code="log_busy")])
async def test_what_concerns_everyone_is_told_to_everyone_and_nobody_is_suspected(error: ParleyError) -> None:
    bus = SlowBus()
    bus.failing[2] = error
    commits = Commits(bus)
    told = await outcomes(commits, bus, of("a"), of("b"), of("c"))
    assert [type(one) for one in told[1:]] == [type(error)] * 2 and len(bus.sent) == 2
    await asyncio.gather(commits.commit(of("b")), commits.commit(of("c")))
    assert bus.sent[2:] == [["b", "b", "c", "c"]]


@pytest.mark.parametrize("error", [ConflictError("Stale."), TransientError("No.", code="log_refused"), ValueError()])
async def test_any_refusal_is_told_to_the_one_alone(error: Exception) -> None:
    bus = SlowBus()
    bus.failing = {2: error, 3: error}
    told = await outcomes(Commits(bus), bus, of("a"), of("b"), of("c"))
    assert bus.sent[1:] == [["b", "b", "c", "c"], ["b", "b"], ["c", "c"]]
    assert [type(one) for one in told] == [int, type(error), int]


@pytest.mark.parametrize("limit", [{"most_writes": 5}, {"most_bytes": 23}])
async def test_a_group_is_no_larger_than_the_server_takes(limit: dict[str, int]) -> None:
    bus = SlowBus()
    await outcomes(Commits(bus, **limit), bus, of("a"), of("b"), of("c"), of("d"), of("e", shown=9))
    assert ["".join(dict.fromkeys(group)) for group in bus.sent] == ["a", "bc", "d", "e"]


async def test_who_has_gone_before_their_turn_is_not_stored() -> None:
    bus = SlowBus()
    first, gone, last = await started(Commits(bus), bus, of("a"), of("b"), of("c"))
    gone.cancel()
    bus.free.set()
    await asyncio.gather(first, last)
    assert bus.sent == [["a", "a"], ["c", "c"]]


async def test_who_has_gone_before_their_half_was_tried_is_not_stored() -> None:
    class PausingAtTheHalves(SlowBus):
        async def commit(self, batch: list[Write]) -> int:
            if len(self.sent) == 2:
                self.free.clear()
            return await super().commit(batch)

    bus = PausingAtTheHalves()
    tasks = await started(Commits(bus), bus, of("a"), of("b", expect=99), of("c"), of("d"), of("e"))
    bus.free.set()
    await until(lambda: len(bus.sent) == 3, 10)
    tasks[3].cancel()
    tasks[4].cancel()
    await asyncio.sleep(0)
    bus.free.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(told[1], ConflictError) and isinstance(told[2], int)
    assert ["d" in group for group in bus.sent[2:]] == [False] * len(bus.sent[2:])


async def test_who_goes_while_it_is_stored_keeps_nobody_waiting() -> None:
    bus = SlowBus()
    first, other = await started(Commits(bus), bus, of("a"), of("b"))
    first.cancel()
    bus.free.set()
    assert await other
    assert await bus.last(subjects.checkpoint(named("a"))) is not None


async def test_nobody_waits_for_ever_when_the_process_ends() -> None:
    bus = SlowBus()
    commits = Commits(bus)
    tasks = await started(commits, bus, of("a"), of("b"))
    assert commits._worker
    commits._worker.cancel()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in told] == [AmbiguousCommitError, TransientError]


@pytest.mark.parametrize("code", [10210, 10211])
def test_too_many_open_batches_are_nobodys_fault(code: int) -> None:
    error = from_api("KV_conversations", code, "atomic publish too many inflight")
    assert type(error) is TransientError and error.code == "log_busy"
