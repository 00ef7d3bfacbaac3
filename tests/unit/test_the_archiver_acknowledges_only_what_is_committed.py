from __future__ import annotations

import asyncio

import pytest

from parley_archiver import archiving
from parley_archiver.adapters import MemoryStore
from parley_archiver.archiving import Archiving
from parley_archiver.attribution import Attribution
from parley_archiver.domain import Batching, tenants_own
from parley_archiver.inbox import Delivery, Inbox
from parley_archiver.keyring import Keyring
from parley_mesh.bus import Stored
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.conversation import MessageShown, OwnerChanged
from parley_proto.envelope import digest, encode
from parley_proto.errors import PermanentError, TransientError
from parley_testkit.samples import AT, CONVERSATION, IDENTITY, TURN, customer_message

AWAY = TransientError("PostgreSQL can't be reached.", code="archive_away")
ROOT = digest(IDENTITY.tenant, IDENTITY.customer_id)


class Bench:
    """An archiver on a log, a bucket and an archive in memory."""

    def __init__(self) -> None:
        self.log, self.bucket, self.store = MemoryBus(), MemoryBus(), MemoryStore()
        self.inbox = Inbox(Batching(10, 1_000_000, 0.001))
        attribution = Attribution(self.log, self.store, tenant="default", shards=subjects.SHARDS)
        keyring = Keyring(self.bucket, b"m" * 32, cached=100)
        self.archiving = Archiving(
            self.inbox, self.store, attribution, keyring, stream="log", committed=self._woken, idle_s=0.01
        )
        self.acked: list[int] = []
        self.released: list[int] = []
        self.wakes = 0

    def _woken(self) -> None:
        self.wakes += 1

    def deliver(self, subject: str, data: bytes, seq: int) -> None:
        async def ack() -> None:
            assert any(place[1] == seq for place in self.store.rows), "acknowledged before it was committed"
            self.acked.append(seq)

        async def release() -> None:
            self.released.append(seq)

        self.inbox.put(Delivery(Stored(subject, seq, data, {}, AT + seq), ack, release))

    def hear(self, seq: int) -> None:
        self.deliver(subjects.conv(CONVERSATION), encode(customer_message()), seq)

    async def settled(self, acked: int) -> None:
        async with asyncio.timeout(10):
            while len(self.acked) < acked:
                await self.inbox.closes_within(0.005)

    async def failed(self, code: str) -> None:
        async with asyncio.timeout(10):
            while code not in self.archiving.reason:
                await self.inbox.closes_within(0.005)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def stop(bench: Bench, running: asyncio.Task[None]) -> None:
    bench.inbox.close()
    async with asyncio.timeout(10):
        await running


async def test_what_is_committed_is_acknowledged(bench: Bench) -> None:
    running = asyncio.create_task(bench.archiving.run())
    for seq in range(1, 26):
        bench.hear(seq)
    await bench.settled(25)
    await stop(bench, running)
    assert sorted(bench.acked) == list(range(1, 26)) and bench.released == []
    assert len(bench.store.rows) == bench.archiving.rows == 25
    assert bench.inbox.held == 0 and bench.wakes >= 3


async def test_nothing_is_acknowledged_while_the_archive_is_away_and_all_is_afterwards(bench: Bench) -> None:
    bench.store.fault = AWAY
    running = asyncio.create_task(bench.archiving.run())
    bench.hear(1)
    await bench.failed("can't be reached")
    assert bench.acked == [] and bench.inbox.held == 1
    bench.store.fault = None
    await bench.settled(1)
    assert bench.archiving.reason == ""
    await stop(bench, running)


async def test_a_shutdown_without_the_archive_gives_everything_back_at_once(bench: Bench) -> None:
    bench.store.fault = AWAY
    running = asyncio.create_task(bench.archiving.run())
    for seq in range(1, 26):
        bench.hear(seq)
    await bench.failed("can't be reached")
    await stop(bench, running)
    assert sorted(bench.released) == list(range(1, 26)) and bench.acked == []


async def test_a_shutdown_writes_what_is_here(bench: Bench) -> None:
    for seq in range(1, 26):
        bench.hear(seq)
    bench.inbox.close()
    await bench.archiving.run()
    assert sorted(bench.acked) == list(range(1, 26)) and bench.released == []


async def test_a_fault_of_our_own_stops_the_acknowledging_and_not_the_service(bench: Bench) -> None:
    bench.store.fault = ZeroDivisionError()
    running = asyncio.create_task(bench.archiving.run())
    bench.hear(1)
    await bench.failed("its log says where")
    assert bench.acked == []
    bench.store.fault = None
    await bench.settled(1)
    await stop(bench, running)


async def test_a_wrong_master_key_is_a_reason_that_stays(bench: Bench) -> None:
    await Keyring(bench.bucket, b"o" * 32, cached=1).for_writing([ROOT])
    running = asyncio.create_task(bench.archiving.run())
    bench.hear(1)
    await bench.failed("another master key")
    await stop(bench, running)
    assert bench.store.rows == {} and bench.released == [1]


async def test_a_message_delivered_again_is_acknowledged_and_not_stored_again(bench: Bench) -> None:
    running = asyncio.create_task(bench.archiving.run())
    for _ in range(3):
        bench.hear(1)
        await bench.settled(len(bench.acked) + 1)
    await stop(bench, running)
    assert len(bench.store.rows) == bench.archiving.rows == 1 and bench.acked == [1, 1, 1]


async def test_what_names_nobody_follows_the_customer_of_its_conversation(bench: Bench) -> None:
    shown = encode(MessageShown("m-2", "assistant", "Hello", AT, turn_id=TURN))
    bench.deliver(subjects.out(CONVERSATION), shown, 1)
    bench.hear(2)
    bench.deliver(subjects.out(CONVERSATION), encode(OwnerChanged("billing", "", 1, "routed", AT)), 3)
    bench.deliver(subjects.out("another-conversation"), shown, 4)
    bench.inbox.close()
    await bench.archiving.run()
    keys = [row.columns.key_id for row in sorted(bench.store.rows.values(), key=lambda row: row.columns.seq)]
    assert keys == [ROOT, ROOT, ROOT, tenants_own("default").root]


async def test_the_first_entry_of_the_log_tells_the_customer_when_nothing_else_does(bench: Bench) -> None:
    await bench.log.append(subjects.conv(CONVERSATION), encode(customer_message()))
    bench.deliver(subjects.out(CONVERSATION), b"{}", 9)
    bench.inbox.close()
    await bench.archiving.run()
    assert [row.columns.key_id for row in bench.store.rows.values()] == [ROOT]


async def test_no_message_is_filed_under_a_guess_while_the_log_can_not_be_asked(bench: Bench) -> None:
    async def refused(subject: str, after: int) -> Stored | None:
        raise PermanentError("Not now.", code="no_log")

    asking, bench.log.next = bench.log.next, refused  # type: ignore[method-assign]
    running = asyncio.create_task(bench.archiving.run())
    bench.deliver(subjects.out(CONVERSATION), b"{}", 9)
    await bench.failed("Not now.")
    assert bench.store.rows == {}
    bench.log.next = asking  # type: ignore[method-assign]
    await bench.settled(1)
    await stop(bench, running)


async def test_an_archive_that_stands_still_is_told_long_before_its_statement_ends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = asyncio.create_task(bench.archiving.run())
    bench.hear(1)
    await bench.settled(1)
    goes_on = asyncio.Event()

    async def stand_still() -> None:
        await goes_on.wait()

    monkeypatch.setattr(archiving, "SLOW_S", 0.05)
    monkeypatch.setattr(bench.store, "prepare", stand_still)
    bench.hear(2)
    await bench.failed("longer than usual")
    assert bench.acked == [1]
    goes_on.set()
    await bench.settled(2)
    assert "longer than usual" in bench.archiving.reason
    bench.hear(3)
    await bench.settled(3)
    assert bench.archiving.reason == ""
    await stop(bench, running)
