"""Python looks through the gateway's thousands of connections seldom: what has ended has to go without that."""

from __future__ import annotations

import asyncio
import gc
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest
from gateway_fixtures import WAIT_S, House, Run, house, user

from parley_gateway.domain import thread_conversation

__all__ = ["house"]
OURS = ("parley_gateway", "uvicorn.", "websockets.", "httptools.", "starlette.")


def garbage() -> Counter[str]:
    """What only a look for garbage finds, of the kinds that a connection is made of."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    names = [f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage]
    gc.garbage.clear()
    return Counter(name for name in names if name.startswith(OURS))


@pytest.fixture
def seldom() -> Iterator[None]:
    """Nobody looks for garbage meanwhile."""
    gc.disable()
    yield
    gc.enable()


async def chat(house: House) -> None:
    async with house.client() as client:
        owner = house.owner(client.thread)
        await client.say("hello")
        await owner.echo()
        await owner.answer("good day")
        await client.until("RUN_FINISHED")


async def run(house: House) -> None:
    thread = uuid.uuid4().hex
    posting = asyncio.create_task(Run(house, [user("hello")], thread).post())
    owner = house.owner(thread_conversation("default", "anonymous", thread))
    await owner.echo()
    await owner.answer("good day")
    await posting


async def plain(house: House) -> None:
    async with house.session.get(f"{house.http}/livez", headers={"Connection": "close"}) as reply:
        assert reply.status == 200


async def refused(house: House) -> None:
    async with house.dial() as socket:
        await socket.send("not a hello")
        await asyncio.wait_for(socket.wait_closed(), WAIT_S)


async def all_gone(house: House) -> None:
    async with asyncio.timeout(WAIT_S):
        while house.door.seats.taken:
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("seldom")
@pytest.mark.parametrize("visit", [chat, run, plain, refused])
async def test_what_a_connection_was_made_of_goes_with_it(
    house: House, visit: Callable[[House], Awaitable[None]]
) -> None:
    await visit(house)
    await all_gone(house)
    gc.collect()
    for _ in range(3):
        await visit(house)
    await all_gone(house)
    assert not garbage()
