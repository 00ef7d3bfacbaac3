"""What only goes wrong when many call: probes, budgets, queues, cancels, newer messages, a new configuration."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from outside import PATHS, Answer, Outside, outside, request_of, silent

from parley_proto import subjects
from parley_proto.envelope import encode
from parley_testkit import fake_provider as play
from parley_testkit.bench import until
from parley_testkit.nats_server import NatsServer

CALLERS = 100


async def _break(gateway: Outside) -> None:
    """Open the breaker of a-model."""
    gateway.a.play(play.failing(500))
    async with asyncio.timeout(60):
        while (await gateway.ask("nats", tier="fast")).code != "provider_resting":
            continue


async def _until_left(callers: set[asyncio.Task[Answer]], count: int) -> None:
    """Wait until no more than so many are still at work."""
    await until(lambda: sum(not caller.done() for caller in callers) <= count, 60)


async def _probing(gateway: Outside, path: str) -> set[asyncio.Task[Answer]]:
    """Callers of whom one was let through, because the rest is over, and all others have been told."""
    before = len(gateway.a.requests)
    while True:
        callers = _callers(gateway, path, tier="fast")
        await _until_left(callers, 1)
        await until(lambda callers=callers: len(gateway.a.requests) > before or all(one.done() for one in callers), 60)
        if len(gateway.a.requests) > before:
            return callers
        await asyncio.gather(*callers)


def _callers(gateway: Outside, path: str, count: int = CALLERS, **wishes: Any) -> set[asyncio.Task[Answer]]:
    return {asyncio.create_task(gateway.ask(path, **wishes)) for _ in range(count)}


@pytest.mark.parametrize("path", PATHS)
async def test_half_open_lets_one_of_a_hundred_through(nats_server: NatsServer, path: str) -> None:
    async with outside(nats_server, rest_s=0.3) as gateway:
        await _break(gateway)
        before, may_end = len(gateway.a.requests), asyncio.Event()
        gateway.a.play([play.Until(may_end), *play.answer("Awake.")])
        callers = await _probing(gateway, path)
        may_end.set()
        assert sum(answer.done for answer in await asyncio.gather(*callers)) == 1
        assert len(gateway.a.requests) - before == 1
        async with asyncio.timeout(60):
            while (await gateway.ask(path, tier="fast")).code:
                continue


@pytest.mark.parametrize("path", PATHS)
async def test_an_abandoned_probe_does_not_hold_the_breaker(nats_server: NatsServer, path: str) -> None:
    async with outside(nats_server, rest_s=0.3) as gateway:
        await _break(gateway)
        gateway.a.play(play.hang_headers())
        before = len(gateway.a.requests)
        async with asyncio.timeout(60):
            while len(gateway.a.requests) == before:
                probe = asyncio.create_task(gateway.ask(path, tier="fast", deadline_s=0.3))
                await asyncio.wait({probe}, timeout=0.15)
        probe.cancel()
        gateway.a.play(play.answer("Awake."))
        async with asyncio.timeout(60):
            while (await gateway.ask(path, tier="fast")).code:
                continue


@pytest.mark.parametrize("path", PATHS)
async def test_a_budget_for_ten_lets_ten_of_a_hundred_through(nats_server: NatsServer, path: str) -> None:
    # One call is reserved with (5 // 3 + 2) + 100 tokens of a millionth each; ten of them fit, an eleventh does not.
    budget = '[[budgets]]\nscope = "tenant"\namount = "0.001079"\nwindow = "forever"'
    async with outside(nats_server, most=100, more=budget) as gateway:
        may_end = asyncio.Event()
        gateway.a.play([play.Send(play.ROLE), play.Until(may_end), *play.answer("Paid.")[1:]])
        callers = _callers(gateway, path, max_tokens=100)
        await _until_left(callers, 10)
        may_end.set()
        answers = await asyncio.gather(*callers)
        assert sum(answer.done for answer in answers) == 10
        assert set(silent(answers)) <= {"over_budget", "insufficient_quota"}
        assert len(gateway.a.requests) == 10
        # Settled by what was really used, 18 tokens each: there is room again for the rest.
        assert (await gateway.ask(path, max_tokens=100)).done


async def test_a_budget_holds_for_all_instances_and_across_a_restart(nats_server: NatsServer) -> None:
    budget = '[[budgets]]\nscope = "tenant"\namount = "0.000015"\nwindow = "forever"'
    async with outside(nats_server, more=budget) as first:
        assert (await first.ask("http", max_tokens=1)).done
        client = await nats_server.connect()
        async with asyncio.timeout(60):
            while not (await client.jetstream().stream_info("KV_budgets")).state.messages:
                await asyncio.sleep(0.05)
    async with outside(nats_server, more=budget) as second:
        assert (await second.ask("http", max_tokens=1)).code == "insufficient_quota"
        assert not second.a.requests


@pytest.mark.parametrize("path", PATHS)
async def test_a_full_queue_says_so_early(nats_server: NatsServer, path: str) -> None:
    async with outside(nats_server, most=2) as gateway:
        may_end = asyncio.Event()
        gateway.a.play([play.Send(play.ROLE), play.Until(may_end), *play.answer("Done.")[1:]])
        callers = _callers(gateway, path, 10, tier="fast")
        await _until_left(callers, 4)
        may_end.set()
        answers = await asyncio.gather(*callers)
        assert silent(answers) == ["overloaded"] * 6
        assert sum(answer.done for answer in answers) == 4
        if path == "http":
            refused = [answer for answer in answers if answer.code]
            assert all(answer.status == 429 and int(answer.retry_after) >= 1 for answer in refused)


async def test_a_hundred_cancelled_streams_stop_at_the_provider(nats_server: NatsServer) -> None:
    async with outside(nats_server, most=256) as gateway:
        gateway.a.play(play.stalled_after("Once upon a time"))
        requests = [request_of("A story", "fast", 60) for _ in range(CALLERS)]

        async def listen(data: bytes) -> None:
            async for _ in gateway.bus.stream(subjects.complete("fast"), data, idle=60):
                continue

        tasks = [asyncio.create_task(listen(encode(request))) for request in requests]
        await gateway.a.until(lambda: gateway.a.opened == CALLERS)
        for request in requests:
            await gateway.bus.publish(subjects.cancel(request.request_id), b"")
        await gateway.a.until(lambda: gateway.a.cancelled == CALLERS)
        await asyncio.gather(*tasks)
        await _counted(gateway, "parley_llm_settled_total", CALLERS)
        await _counted(gateway, "parley_llm_cancels_total", CALLERS)


async def test_a_hundred_clients_that_hang_up_stop_it_too(nats_server: NatsServer) -> None:
    async with outside(nats_server, most=256) as gateway:
        gateway.a.play(play.stalled_after("Once upon a time"))
        body = {"model": "fast", "stream": True, "messages": [{"role": "user", "content": "A story"}]}
        url = f"{gateway.url}/v1/chat/completions"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            responses = await asyncio.gather(*(session.post(url, json=body) for _ in range(CALLERS)))
            for response in responses:
                response.close()
            await gateway.a.until(lambda: gateway.a.cancelled == CALLERS)
        await _counted(gateway, "parley_llm_settled_total", CALLERS)


async def test_a_newer_message_takes_the_place_of_an_older_one(nats_server: NatsServer) -> None:
    async with outside(nats_server) as gateway:
        gateway.a.play(play.stalled_after("Old"), play.answer("New."))
        older = asyncio.create_task(gateway.nats(tier="fast", conversation="c" * 20, epoch=1))
        await gateway.a.until(lambda: gateway.a.opened == 1)
        newer = await gateway.nats(tier="fast", conversation="c" * 20, epoch=2)
        assert ((await older).code, newer.text) == ("superseded", "New.")


async def test_a_caller_that_is_gone_loses_its_lease(nats_server: NatsServer) -> None:
    async with outside(nats_server) as gateway:
        gateway.a.play([play.Send(play.ROLE), *[*play.texts("word "), play.Wait(0.1)] * 100])
        answer = await gateway.nats(tier="fast", lease_s=2)
        assert answer.code == "lease_over"
        await gateway.a.until(lambda: gateway.a.cancelled == 1)


async def test_a_new_configuration_drops_no_stream_and_a_broken_one_is_refused(nats_server: NatsServer) -> None:
    async with outside(nats_server) as gateway:
        taken = asyncio.Event()
        gateway.a.play([*play.answer("Old ")[:2], play.Until(taken), *play.texts("way."), *play.ending()])
        running = asyncio.create_task(gateway.nats(tier="fast"))
        await gateway.a.until(lambda: gateway.a.opened == 1)
        gateway.file.write_text("[tiers.standard]\ncandidates = ['nobody']\n")
        await _counted(gateway, 'parley_llm_reloads_total{result="refused"}', 1)
        gateway.write(more='[models.c-model]\nprovider = "b"\nname = "c"\n')
        await _counted(gateway, 'parley_llm_reloads_total{result="taken"}', 1)
        taken.set()
        assert (await running).text == "Old way."
        gateway.b.play(play.answer("I am C."))
        assert (await gateway.nats(model="c-model")).text == "I am C."


async def _counted(gateway: Outside, metric: str, count: int) -> None:
    """Wait until exactly so many have been counted."""
    async with asyncio.timeout(30):
        while await gateway.metric(metric) != count:
            await asyncio.sleep(0.05)
