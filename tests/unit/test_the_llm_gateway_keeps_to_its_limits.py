"""Budgets, concurrency, fair queues, retry budgets, first-delta timers, the cache, flights and batches."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Sequence

import msgspec
import pytest

from parley_llm_gateway.batching import Batcher
from parley_llm_gateway.budget import Budgets, OverBudget
from parley_llm_gateway.cache import Cache, key_of
from parley_llm_gateway.config import LimitConfig
from parley_llm_gateway.errors import ProviderRefused
from parley_llm_gateway.first_delta import FirstDelta
from parley_llm_gateway.flights import Flights
from parley_llm_gateway.limiter import Limiter, Overloaded, Slot
from parley_llm_gateway.providers.base import Vectors
from parley_llm_gateway.retry_budget import RetryBudget
from parley_proto.errors import PermanentError, TransientError
from parley_proto.llm import ChatMessage, CompletionEvent, CompletionRequest, Finished, TextDelta, ToolSpec, Usage

_DAY = LimitConfig("tenant", "*", 100, 86_400)
_END = Finished("stop", "m", Usage(1, 1))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_reservation_counts_until_it_is_settled_and_only_once() -> None:
    budgets = Budgets([_DAY])
    first = budgets.reserve("shop", "k", "c", 60)
    with pytest.raises(OverBudget):
        budgets.reserve("shop", "k", "c", 60)
    budgets.reserve("other", "k", "c", 60).refund()
    first.settle(10)
    first.settle(90)
    first.refund()
    budgets.reserve("shop", "k", "c", 90)
    assert budgets.own() == {f"tenant/shop/86400-{int(time.time() // 86_400)}": 10}


def test_several_limits_take_all_or_nothing() -> None:
    budgets = Budgets([_DAY, LimitConfig("conversation", "*", 5, 0)])
    with pytest.raises(OverBudget, match="conversation"):
        budgets.reserve("shop", "k", "c", 6)
    budgets.reserve("shop", "k", "d", 5).settle(5)
    budgets.reserve("shop", "k", "e", 5)


def test_a_budget_begins_anew_and_says_when() -> None:
    clock = Clock()
    budgets = Budgets([_DAY], clock)
    budgets.reserve("shop", "k", "c", 100).settle(100)
    with pytest.raises(OverBudget, match="1970-01-02") as caught:
        budgets.reserve("shop", "k", "c", 1)
    assert caught.value.retry_after == 86_400 - 1000
    clock.now += 86_400
    budgets.reserve("shop", "k", "c", 100)


def test_an_unknown_price_fails_closed_and_spending_elsewhere_counts() -> None:
    budgets = Budgets([_DAY])
    with pytest.raises(PermanentError) as caught:
        budgets.reserve("shop", "k", "c", None)
    assert caught.value.code == "unknown_price"
    Budgets([]).reserve("shop", "k", "c", None)
    budgets.reserve("shop", "k", "c", 50).settle(50)
    restarted = Budgets([_DAY])
    restarted.absorb(budgets.own())
    with pytest.raises(OverBudget):
        restarted.reserve("shop", "k", "c", 51)


def test_a_tenants_spending_outlives_any_number_of_conversations_and_no_window_its_own() -> None:
    clock = Clock()
    budgets = Budgets([_DAY, LimitConfig("conversation", "*", 10, 0)], clock)
    budgets.reserve("shop", "k", "c", 10).settle(10)
    for number in range(21_000):
        budgets.reserve(f"other-{number % 7}", "k", f"c{number}", 0)
    with pytest.raises(OverBudget):
        budgets.reserve("shop", "k", "another", 91)
    assert budgets.own() == {"tenant/shop/86400-0": 10}
    assert len(budgets._conversations) == 20_000
    clock.now += 86_400
    assert budgets.own() == {}
    for number in range(1_000):
        budgets.reserve(f"tenant-{number}", "k", "c", 0)
    assert len(budgets._accounts) < 1_005


def _limiter(
    start: int = 2, *, length: int = 4, wait_s: float = 5, hosted: bool = True, clock: Clock | None = None
) -> Limiter:
    return Limiter(start, 1, 10, hosted=hosted, queue_length=length, queue_wait_s=wait_s, clock=clock or Clock())


def _enter(limiter: Limiter) -> Slot:
    slot = limiter.try_enter()
    assert slot
    return slot


def _fill(limiter: Limiter, first_token_s: float | None) -> None:
    """As many calls as there may be, all with this time to the first token."""
    for slot in [_enter(limiter) for _ in range(limiter.limit)]:
        slot.leave("ok", first_token_s)


async def test_tenants_take_turns() -> None:
    limiter = _limiter(1, length=8)
    slot = _enter(limiter)
    order: list[str] = []

    async def wait(tenant: str) -> None:
        mine = await limiter.enter(tenant, 5)
        order.append(tenant)
        mine.leave("neutral")

    tasks = [asyncio.create_task(wait(tenant)) for tenant in ("loud", "loud", "loud", "quiet")]
    await asyncio.sleep(0)
    slot.leave("neutral")
    await asyncio.gather(*tasks)
    assert order.index("quiet") == 1


async def test_a_full_queue_and_a_long_wait_are_refused_with_a_time() -> None:
    limiter = _limiter(1, length=1, wait_s=0.01)
    _enter(limiter)
    waiting = asyncio.create_task(limiter.enter("a", 5))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as caught:
        await limiter.enter("a", 5)
    assert caught.value.retry_after >= 1
    with pytest.raises(Overloaded):
        await waiting
    assert limiter.waiting == 0


async def test_a_waiter_that_gives_up_leaves_its_place_to_the_next() -> None:
    limiter = _limiter(1)
    slot = _enter(limiter)
    gone, next_one = (asyncio.create_task(limiter.enter("a", 5)) for _ in range(2))
    await asyncio.sleep(0)
    slot.leave("ok")
    gone.cancel()
    (await next_one).leave("ok")
    _enter(limiter)


def test_busy_shrinks_the_limit_once_a_second_and_success_grows_it() -> None:
    clock = Clock()
    limiter = _limiter(10, clock=clock)
    slots = [_enter(limiter) for _ in range(10)]
    for slot in slots[:5]:
        slot.leave("busy")
    assert limiter.limit == 7
    clock.now += 2
    slots[5].leave("timeout")
    assert limiter.limit == 4
    for slot in slots[6:]:
        slot.leave("ok")
    for _ in range(20):
        held = [_enter(limiter) for _ in range(limiter.limit)]
        for slot in held:
            slot.leave("ok")
    assert limiter.limit > 4


def test_a_local_engine_that_becomes_slow_gets_less() -> None:
    limiter = _limiter(10, hosted=False)
    for seconds in [0.1] * 50 + [2.0] * 5:
        _fill(limiter, seconds)
    assert limiter.limit < 10


def test_what_is_slow_for_good_is_usual_before_long() -> None:
    limiter, limits = _limiter(10, hosted=False), []
    for seconds in [0.1] * 20 + [0.4] * 200:
        _fill(limiter, seconds)
        limits.append(limiter.limit)
    assert min(limits) <= 5 and limits[-1] == 10


def test_an_embedding_says_nothing_about_first_tokens() -> None:
    limiter = _limiter(10, hosted=False)
    for seconds in [0.1] * 20 + [2.0] * 2:
        _fill(limiter, seconds)
    before = limiter.limit
    _fill(limiter, None)
    assert limiter.limit == before


def test_retries_are_a_share_of_the_calls() -> None:
    clock = Clock()
    budget = RetryBudget(0.2, 1, clock)
    assert [budget.allow(), budget.allow()] == [True, False]
    for _ in range(20):
        budget.called()
    assert [budget.allow() for _ in range(4)] == [True, True, True, False]
    clock.now += 25
    assert budget.allow()


def test_the_first_delta_timer_follows_what_was_seen() -> None:
    timer = FirstDelta(1.0, 20.0)
    assert timer.seconds() == 20.0
    for _ in range(20):
        timer.seen(0.1)
    assert timer.seconds() == 1.0
    for _ in range(100):
        timer.seen(2.0)
    assert timer.seconds() == 6.0


def _request(text: str = "What is your return policy?", **changes: object) -> CompletionRequest:
    request = CompletionRequest("r" * 20, "shop", "c" * 20, [ChatMessage("user", text)], 0, cacheable=True)
    return msgspec.structs.replace(request, **changes)


def test_no_text_however_odd_takes_long_to_be_looked_through() -> None:
    for odd in ("@" * 1_000_000, "a@" * 500_000, f"x@{'a' * 1_000_000}", "1" * 6 + " " * 1_000_000, "A" * 1_000_000):
        key_of(_request(odd), "m")
    assert key_of(_request("write to a.b@example.com"), "m") is None


def test_only_the_same_request_of_the_same_tenant_has_the_same_key() -> None:
    key = key_of(_request(), "m")
    assert key == key_of(_request(request_id="other" * 4, conversation="d" * 20), "m")
    others = [_request(tenant="x"), _request("Else?"), _request(temperature=1.0), _request(prompt_version="2")]
    assert len({key, key_of(_request(), "n"), *(key_of(other, "m") for other in others)}) == 6


@pytest.mark.parametrize(
    "request_",
    [
        _request(cacheable=False),
        _request(tools=[ToolSpec("t", "", {})]),
        _request("I am jo@example.com"),
        _request("My order is ORD-123"),
        _request("Call 0170 1234567"),
    ],
)
def test_what_is_personal_or_has_tools_is_never_kept(request_: CompletionRequest) -> None:
    assert key_of(request_, "m") is None


def test_the_cache_forgets_the_oldest_and_the_expired() -> None:
    clock = Clock()
    cache = Cache(2, 10, 60, clock)
    for key, text in (("a", "12345"), ("b", "123"), ("c", "123456")):
        cache.put(key, (TextDelta(text), _END))
    assert (cache.get("a"), cache.get("c")) == (None, (TextDelta("123456"), _END))
    cache.put("huge", (TextDelta("x" * 11), _END))
    assert cache.get("huge") is None
    clock.now += 61
    assert cache.get("c") is None


async def test_followers_hear_the_whole_flight_or_go_on_alone() -> None:
    flights = Flights()
    leader, follower = flights.join("k"), flights.join("k")
    assert (leader.leads, follower.leads) == (True, False)
    leader.publish(TextDelta("a"))

    async def heard() -> list[CompletionEvent]:
        return [event async for event in follower.events()]

    task = asyncio.create_task(heard())
    await asyncio.sleep(0)
    leader.publish(_END)
    leader.close()
    assert await task == [TextDelta("a"), _END]
    second, alone = flights.join("k"), flights.join("k")
    second.close()
    assert [event async for event in alone.events()] == []
    assert flights.join("k").leads


class Upstream:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.error: Exception | None = None

    async def __call__(self, texts: Sequence[str], dimensions: int | None) -> Vectors:
        self.calls.append(list(texts))
        if self.error:
            raise self.error
        return Vectors("m", 1, array("f", [float(len(text)) for text in texts]).tobytes(), len(texts))


async def test_texts_of_many_callers_go_upstream_together_and_come_back_to_each() -> None:
    upstream = Upstream()
    batcher = Batcher(upstream, wait_s=0.005, size=64)
    found = await asyncio.gather(*(batcher.embed(["x" * number, "yy"]) for number in range(1, 6)))
    assert len(upstream.calls) == 1
    assert [array("f", vectors.data).tolist() for vectors in found] == [[float(n), 2.0] for n in range(1, 6)]


async def test_a_refused_text_fails_its_own_caller_alone() -> None:
    upstream = Upstream()

    async def picky(texts: Sequence[str], dimensions: int | None) -> Vectors:
        vectors = await upstream(texts, dimensions)
        if any(len(text) > 100 for text in texts):
            raise ProviderRefused("maximum context length", code="context_length_exceeded")
        return vectors

    batcher = Batcher(picky, wait_s=0.005)
    mine, theirs, last = await asyncio.gather(
        *(batcher.embed([text]) for text in ("one", "x" * 101, "three")), return_exceptions=True
    )
    assert isinstance(theirs, ProviderRefused)
    assert isinstance(mine, Vectors) and isinstance(last, Vectors)
    assert array("f", mine.data + last.data).tolist() == [3.0, 5.0]
    assert [len(call) for call in upstream.calls] == [3, 1, 1, 1]


async def test_tokens_are_shared_by_length() -> None:
    async def upstream(texts: Sequence[str], dimensions: int | None) -> Vectors:
        return Vectors("m", 1, array("f", [0.0 for _ in texts]).tobytes(), sum(len(text) for text in texts) // 4)

    batcher = Batcher(upstream, wait_s=0.005)
    long, short = await asyncio.gather(batcher.embed(["x" * 4000]), batcher.embed(["short"]))
    assert (long.prompt_tokens, short.prompt_tokens) == (1000, 2)


async def test_a_long_list_is_cut_and_an_error_reaches_everyone() -> None:
    upstream = Upstream()
    batcher = Batcher(upstream, wait_s=0.001, size=4)
    vectors = await batcher.embed([str(number) * (number + 1) for number in range(9)])
    assert array("f", vectors.data).tolist() == [float(number + 1) for number in range(9)]
    assert sorted(len(call) for call in upstream.calls) == [1, 4, 4]
    upstream.error = TransientError("no", code="provider_failed")
    results = await asyncio.gather(*(batcher.embed(["a"]) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, TransientError) for result in results)
