"""What work queues rely on: redelivery, delivery counts, the four acknowledgements, shared work."""

from __future__ import annotations

import pytest
from places import ACK_WAIT_S, LONG_S, Place, ack_floor, durable, until, worker

from parley_mesh.bus import Write
from parley_proto import subjects


async def put(where: Place, cid: str, *texts: str) -> list[int]:
    return [(await where.bus.append(subjects.out(cid), text.encode())).seq for text in texts]


async def test_what_nobody_acknowledges_comes_again_and_is_counted(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*")
    (seq,) = await put(where, cid, "a")
    one = await worker(where, "work")
    await one.pull(batch=2)
    await until(where, lambda: len(one.got) == 2)
    assert one.attempts == [1, 2]
    assert [message.metadata.sequence.stream for message in one.got] == [seq, seq]
    assert [message.metadata.sequence.consumer for message in one.got] == [1, 2]


async def test_what_is_acknowledged_is_over(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*")
    first, _ = await put(where, cid, "a", "b")
    one = await worker(where, "work")
    await one.pull(batch=5)
    await until(where, lambda: len(one.got) == 2)
    await one.got[0].ack()
    await until(where, lambda: one.texts[2:] == ["b"])
    assert await ack_floor(where, "work") == first
    await one.got[2].ack()
    await where.pass_time(LONG_S)
    assert len(one.got) == 3


@pytest.mark.parametrize("delay", [0.0, 0.3])
async def test_what_is_given_back_comes_after_its_delay(where: Place, cid: str, delay: float) -> None:
    await durable(where, "work", "out.*", ack_wait=30_000_000_000)
    await put(where, cid, "a")
    one = await worker(where, "work")
    await one.pull(batch=2)
    await until(where, lambda: len(one.got) == 1)
    given_back = where.now()
    await one.got[0].nak(delay=delay)
    await until(where, lambda: len(one.got) == 2)
    assert delay * 1000 - 20 <= where.now() - given_back <= delay * 1000 + 15_000


async def test_what_is_terminated_never_comes_again(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*")
    await put(where, cid, "a", "b")
    one = await worker(where, "work")
    await one.pull(batch=5)
    await until(where, lambda: len(one.got) == 2)
    await one.got[0].term()
    await until(where, lambda: len(one.got) == 3)
    assert one.texts[2] == "b"


async def test_work_in_progress_stays_where_it_is(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*")
    await put(where, cid, "a")
    one = await worker(where, "work")
    await one.pull(batch=2, expires_s=30)
    await until(where, lambda: len(one.got) == 1)
    for _ in range(4):
        await where.pass_time(ACK_WAIT_S / 3)
        await one.got[0].in_progress()
    assert len(one.got) == 1
    await until(where, lambda: len(one.got) == 2)


async def test_an_acknowledgement_of_an_earlier_delivery_counts(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*")
    await put(where, cid, "a")
    one = await worker(where, "work")
    await one.pull(batch=5)
    await until(where, lambda: len(one.got) == 2)
    await one.got[0].ack()
    await where.pass_time(LONG_S)
    assert len(one.got) == 2


async def test_no_more_are_out_than_may_be(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*", max_ack_pending=2, ack_wait=30_000_000_000)
    await put(where, cid, "a", "b", "c")
    one = await worker(where, "work")
    await one.pull(batch=5)
    await until(where, lambda: len(one.got) == 2)
    await where.pass_time(0.2)
    assert one.texts == ["a", "b"]
    await one.got[1].ack()
    await until(where, lambda: one.texts == ["a", "b", "c"])


async def test_workers_of_one_durable_share_the_work_and_nobody_gets_it_twice(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*", ack_wait=30_000_000_000)
    one, two = await worker(where, "work"), await worker(where, "work")
    await one.pull(batch=3)
    await two.pull(batch=3)
    await where.pass_time(0.5)
    await put(where, cid, *"abcd")
    await until(where, lambda: len(one.got) + len(two.got) == 4)
    assert sorted(one.texts + two.texts) == [*"abcd"]
    assert len(one.got) == 2


async def test_the_work_of_a_worker_that_is_gone_goes_to_another(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*")
    await put(where, cid, "a")
    one = await worker(where, "work")
    await one.pull()
    await until(where, lambda: len(one.got) == 1)
    two = await worker(where, "work")
    await two.pull()
    await until(where, lambda: len(two.got) == 1)
    assert two.attempts == [2]


async def test_what_comes_again_comes_before_what_is_new(where: Place, cid: str) -> None:
    await durable(where, "work", "out.*")
    await put(where, cid, "old")
    one = await worker(where, "work")
    await one.pull()
    await until(where, lambda: len(one.got) == 1)
    await where.pass_time(LONG_S)
    await put(where, cid, "new")
    await one.pull(batch=2)
    await until(where, lambda: len(one.got) == 3)
    assert one.texts == ["old", "old", "new"]


async def test_what_a_newer_checkpoint_has_replaced_does_not_come_again(where: Place, cid: str) -> None:
    await durable(where, "work", "$KV.conversations.>")
    rollup = {"Nats-Rollup": "sub"}
    first = await where.bus.commit([Write(subjects.checkpoint(cid), b"1", rollup, 0)])
    one = await worker(where, "work")
    await one.pull(batch=5)
    await until(where, lambda: one.texts == ["1"])
    await where.bus.commit([Write(subjects.checkpoint(cid), b"2", rollup, first)])
    await until(where, lambda: one.texts.count("2") == 2)
    assert one.texts == ["1", "2", "2"]


async def test_a_pull_that_finds_nothing_is_told_so(where: Place) -> None:
    await durable(where, "work", "out.*")
    one = await worker(where, "work")
    await one.pull(no_wait=True, expires_s=0)
    await until(where, lambda: one.statuses == ["404"])
    await one.pull(expires_s=0.2)
    await until(where, lambda: one.statuses == ["404", "408"])
    nobody = await worker(where, "nobody")
    await nobody.pull()
    await until(where, lambda: nobody.statuses == ["503"])


async def test_members_of_a_batch_arrive_together_in_their_order_and_those_of_a_refused_one_never(
    where: Place, cid: str
) -> None:
    await durable(where, "work", "out.*", ack_wait=30_000_000_000)
    one = await worker(where, "work")
    await one.pull(batch=10)
    await where.bus.commit([Write(subjects.out(cid), b"a"), Write(subjects.out(cid), b"b")])
    refused = [Write(subjects.out(cid), b"x"), Write(subjects.checkpoint(cid), b"{}", {}, 99)]
    with pytest.raises(Exception, match="written"):
        await where.bus.commit(refused)
    await where.bus.append(subjects.out(cid), b"c")
    await until(where, lambda: len(one.got) == 3)
    assert one.texts == ["a", "b", "c"]
