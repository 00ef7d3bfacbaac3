"""A process of customers: connects them, lets them talk when it is told to, and says each second what it counted.

Lines of JSON: the orders and the moment to begin come in, seconds and at last the rest go out.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import uvloop

from generator import dialogues, schedule
from generator.account import Message
from generator.dialogues import Dialogue, Manner
from generator.options import Options
from generator.schedule import Burst
from generator.talk import Talk
from generator.tally import Rest, Tally
from parley_cli.client import Door, door

DRAIN_S = 60.0
_CONNECT_AT_ONCE = 64
_FILES = 65_536
_AGAIN_S = 0.05
# So long before its first message a conversation is connected.
_LEAD_S = 1.0


class Place(msgspec.Struct, frozen=True):
    """A conversation that the mesh knows, and how far its customer has read it."""

    thread: str
    since: int


class Orders(msgspec.Struct, frozen=True):
    """The customers `first`, `first + step`, … of this process; `places` are the known conversations for them."""

    url: str
    options: Options
    first: int
    step: int
    burst: Burst | None = None
    places: list[Place] = []


class Line(NamedTuple):
    """What is said next, seconds until what follows (0 for as usual), and whether the conversation ends with it."""

    text: str
    then_s: float
    last: bool


class Customer:
    """One customer after the other at one place: `options.stay` dialogues a conversation, then a new conversation."""

    def __init__(self, number: int, orders: Orders, through: Door, tally: Tally, scripts: list[Dialogue]) -> None:
        self._number = number
        self._orders = orders
        self._options = options = orders.options
        self._door = through
        self._tally = tally
        self._random = Random(f"{options.seed}/{number}")
        self._scripts = scripts
        self._manner = Manner(options.fresh, options.look_up)
        self._places = self._known()
        self._talk: Talk | None = None
        self._waiting: list[Talk] = []

    async def connect(self) -> None:
        place = next(self._places, None)
        self._talk = Talk(self._door, self._tally, *((place.thread, place.since) if place else ()))
        await self._talk.open()

    async def live(self, began: float) -> None:
        """Talk until the run is over, then stay for what is still to come."""
        over = began + self._options.seconds
        await (self._closed(over) if self._options.closed else self._open(began, over))
        for talk in self.talks:
            await talk.wait(over + DRAIN_S)

    @property
    def talks(self) -> list[Talk]:
        """The conversation that is open now, and those that still wait for an answer."""
        return [*self._waiting, *([self._talk] if self._talk else [])]

    async def _open(self, began: float, over: float) -> None:
        """The schedule stands whatever the mesh does: nobody waits for an answer before going on."""
        options, burst, lines = self._options, self._orders.burst, self._lines()
        at = schedule.first_at(self._number, options.conversations, options.every, self._random)
        line, gap = next(lines), 0.0
        said: Message | None = None
        while began + at < over:
            if said and line.last:
                # Ahead of time, because another connection takes a while; so does a refusal to come.
                await asyncio.sleep(began + at - min(_LEAD_S, gap / 2) - time.monotonic())
                if not said.refused:
                    await self._move_on()
                    line, said = next(lines), None
            await self._sleep_until(began + at)
            # What was refused is said once more: the words of an overloaded mesh are those of an idle one.
            if said and not said.refused:
                line = next(lines)
            said = await (await self._current()).send(line.text, began + at)
            due = schedule.advance(at, line.then_s or schedule.pause(options.every, self._random), burst)
            at, gap = due, due - at

    async def _closed(self, over: float) -> None:
        for line in self._lines():
            if time.monotonic() >= over:
                return
            talk = await self._current()
            message = await talk.say(line.text, time.monotonic(), self._options.patience)
            if message.refused:
                await asyncio.sleep(max(_AGAIN_S, message.retry_ms / 1000))
            if line.last:
                await self._move_on()

    async def _current(self) -> Talk:
        if self._talk is None:
            await self.connect()
        assert self._talk
        return self._talk

    def _lines(self) -> Iterator[Line]:
        """All that is ever said here."""
        while True:
            turns = [turn for _ in range(self._options.stay) for turn in self._random.choice(self._scripts).turns]
            for turn, following in zip(turns, [*turns[1:], None], strict=True):
                text = dialogues.said(turn, self._manner, self._random)
                yield Line(text, following.after_s if following else 0, last=following is None)

    async def _move_on(self) -> None:
        """Another conversation, connected before it has anything to say; the old one stays while it is answered."""
        old, self._talk = self.talks, None
        self._waiting = [talk for talk in old if talk.account.unsettled]
        for talk in old:
            if talk not in self._waiting:
                await talk.close()
        await self.connect()

    async def _sleep_until(self, due: float) -> None:
        left = due - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
            now = time.monotonic()
            self._tally.at(now).time("late", (now - due) * 1000)

    def _known(self) -> Iterator[Place]:
        mine = list(self._orders.places)
        self._random.shuffle(mine)
        return iter(mine)


async def work() -> None:
    """Everything that this process does."""
    orders = msgspec.json.decode(await _line(), type=Orders)
    options, tally = orders.options, Tally()
    scripts = _scripts(options)
    async with door(orders.url) as through:
        numbers = range(orders.first, options.conversations, orders.step)
        shares = [msgspec.structs.replace(orders, places=orders.places[n :: len(numbers)]) for n in range(len(numbers))]
        crowd = [Customer(n, share, through, tally, scripts) for n, share in zip(numbers, shares, strict=True)]
        await _few_at_once(crowd)
        _collect_seldom()
        _tell(len(crowd))
        began = tally.began = msgspec.json.decode(await _line(), type=float)
        telling = asyncio.create_task(_tell_each_second(tally))
        await asyncio.sleep(began - time.monotonic())
        await asyncio.gather(*(customer.live(began) for customer in crowd))
        telling.cancel()
        _tell(tally.take())
        _tell(await _rest(crowd))


def _scripts(options: Options) -> list[Dialogue]:
    if options.work == "handoff":
        return dialogues.handing_over()
    return dialogues.paced(dialogues.read(Path(options.data or dialogues.SHIPPED)), options.every)


async def _few_at_once(crowd: list[Customer]) -> None:
    places = asyncio.Semaphore(_CONNECT_AT_ONCE)

    async def one(customer: Customer) -> None:
        async with places:
            await customer.connect()

    await asyncio.gather(*(one(customer) for customer in crowd))


async def _tell_each_second(tally: Tally) -> None:
    while True:
        await asyncio.sleep(1)
        _tell(tally.take())


async def _rest(crowd: list[Customer]) -> Rest:
    rest = Rest(cpu_s=time.process_time())
    for customer in crowd:
        for talk in customer.talks:
            await talk.close()
            rest.conversations += 1
            for message in talk.account.unsettled:
                rest.lost += message.acked
                rest.unsettled += not message.acked
                rest.lost_ids += [f"{talk.account.thread}/{message.client_id}"] if len(rest.lost_ids) < 100 else []
    return rest


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _tell(what: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(msgspec.json.encode(what).decode(), flush=True)


def _collect_seldom() -> None:
    """Thousands of sockets live long: looking through them often would make this process late, not the mesh."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 50)


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard), hard))
    uvloop.run(work())
