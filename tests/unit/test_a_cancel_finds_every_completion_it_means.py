"""Cancels by request or turn, newer requests of a conversation, leases that nobody renews."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from parley_llm_gateway.outbox import Outbox
from parley_llm_gateway.running import End, Run, Running
from parley_proto.llm import ChatMessage, CompletionRequest, Failed


def _request(name: str, **changes: object) -> CompletionRequest:
    request = CompletionRequest(name * 16, "default", "c" * 16, [ChatMessage("user", "Hi")], 0, turn_id="t" * 16)
    return msgspec.structs.replace(request, **changes)


async def _for_ever() -> End:
    await asyncio.Event().wait()
    raise AssertionError


def _begin(running: Running, request: CompletionRequest) -> Run:
    return running.begin(request, _for_ever(), Outbox(request.request_id))


async def _end(run: Run) -> str:
    async with asyncio.timeout(5):
        while not run.outbox.over:
            events = await run.outbox.take()
    end = events[-1]
    assert isinstance(end, Failed)
    return end.code


@pytest.mark.parametrize("name", ["a" * 16, "t" * 16], ids=["its request", "its turn"])
async def test_a_cancel_ends_what_it_names(name: str) -> None:
    running = Running()
    run = _begin(running, _request("a"))
    running.cancel(name)
    assert await _end(run) == "cancelled"


async def test_a_cancel_that_comes_first_is_remembered() -> None:
    running = Running()
    running.cancel("t" * 16)
    assert await _end(_begin(running, _request("a"))) == "cancelled"


async def test_a_newer_epoch_supersedes_the_older_one_and_nobody_else() -> None:
    running = Running()
    old, consult = _begin(running, _request("a", epoch=1)), _begin(running, _request("b"))
    stranger = _begin(running, _request("d", epoch=1, tenant="other"))
    new = _begin(running, _request("e", epoch=2))
    assert await _end(old) == "superseded"
    late = _begin(running, _request("f", epoch=1))
    assert await _end(late) == "superseded"
    for run in (consult, stranger, new):
        assert not run.outbox.over
        await run.stop()


async def test_a_lease_that_nobody_renews_ends_the_completion() -> None:
    assert await _end(_begin(Running(), _request("a", lease_s=0.01))) == "lease_over"


async def test_a_renewed_lease_begins_anew() -> None:
    running = Running()
    run = _begin(running, _request("a", lease_s=30.0))
    running.renew("a" * 16)
    running.renew("a" * 16)
    running.cancel("a" * 16)
    assert await _end(run) == "cancelled"
    running.leave(run)
    assert len(running) == 0
    await asyncio.wait_for(running.drained(), 5)
