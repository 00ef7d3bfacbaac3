"""A process's connection on which things go wrong: it dies, stands still, or loses a message or an answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar, cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_mesh.wire import OnMessage, Wire, WireSubscription

T = TypeVar("T")
Step = Literal["accept", "commit", "intent", "effect", "settle", "outcome", "ack", "read", "pull", "other"]
Fault = Literal["die before", "die after", "pause before", "pause after", "lose it", "lose the answer"]
OF_AN_OWNER: tuple[Step, ...] = ("commit", "ack", "read", "pull")
OF_A_SPECIALIST: tuple[Step, ...] = ("intent", "effect", "settle", "outcome", "ack", "read", "pull")
OF_AN_EFFECT: tuple[Step, ...] = ("intent", "effect", "settle", "outcome")
FAULTS: tuple[Fault, ...] = ("die before", "die after", "pause before", "pause after", "lose it", "lose the answer")
LOST_AFTER_S = 0.5


def step_of(subject: str, payload: bytes) -> Step:
    """What a process is about to do, by what it sends."""
    if subject.startswith("$JS.ACK."):
        return "ack" if payload in (b"", b"+ACK") else "other"
    if subject.startswith("$JS.API.STREAM.MSG.GET."):
        return "read"
    if subject.startswith("$JS.API.CONSUMER.MSG.NEXT."):
        return "pull"
    if subject.startswith("$KV.conversations."):
        return "commit"
    if subject.startswith("effect."):
        return "intent" if b'"EffectIntended"' in payload else "settle"
    if subject.startswith("conv."):
        return "accept" if b'"CustomerMessage"' in payload else "outcome"
    return "other"


class FaultyWire:
    """`Wire` with faults: each waits for its step, happens once and is gone."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._faults: defaultdict[Step, list[Fault]] = defaultdict(list)
        self._running = asyncio.Event()
        self._running.set()
        self._subscriptions: list[WireSubscription] = []
        self._graves: list[asyncio.Future[None]] = []
        self.dead = False
        self.over = False

    @property
    def paused(self) -> bool:
        return not self._running.is_set()

    def plan(self, step: Step, fault: Fault) -> None:
        self._faults[step].append(fault)

    def pause(self) -> None:
        """Nothing goes out or comes in, as with SIGSTOP; what came in meanwhile is seen afterwards."""
        self._running.clear()

    def go_on(self) -> None:
        self._running.set()

    def heal(self) -> None:
        self._faults.clear()
        self.go_on()

    async def die(self) -> None:
        """As with kill -9: whatever the process was doing, nothing of it leaves any more."""
        self.dead = True
        self._running.set()
        for subscription in self._subscriptions:
            # What it was doing may have ended some of them meanwhile.
            with contextlib.suppress(nats.errors.BadSubscriptionError):
                await subscription.unsubscribe()

    async def through(self, step: Step, perform: Callable[[], Awaitable[T]]) -> T:
        """Do `perform`, which is `step`, unless a fault that was planned for it comes in between."""
        await self._alive()
        planned = self._faults[step]
        fault = planned.pop(0) if planned else None
        await self._meanwhile(fault, "before")
        if fault == "lose it":
            await asyncio.sleep(LOST_AFTER_S)
            raise nats.errors.TimeoutError
        result = await perform()
        await self._meanwhile(fault, "after")
        if fault == "lose the answer":
            await asyncio.sleep(LOST_AFTER_S)
            raise nats.errors.TimeoutError
        return result

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        async def perform() -> None:
            await self._wire.publish(subject, payload, reply, headers)

        try:
            await self.through(step_of(subject, payload), perform)
        except nats.errors.TimeoutError:
            # A publish has no answer: what is lost on the way is lost without a word.
            return

    async def request(
        self, subject: str, payload: bytes = b"", timeout: float = 0.5, *, headers: dict[str, str] | None = None
    ) -> Msg:
        async def perform() -> Msg:
            return await self._wire.request(subject, payload, timeout, headers=headers)

        return await self.through(step_of(subject, payload), perform)

    async def subscribe(self, subject: str, queue: str = "", cb: OnMessage | None = None) -> WireSubscription:
        async def receive(message: Msg) -> None:
            await self._running.wait()
            if cb and not self.dead:
                message._client = cast(Client, self)
                await cb(message)

        subscription = await self._wire.subscribe(subject, queue, receive)
        self._subscriptions.append(subscription)
        return subscription

    def new_inbox(self) -> str:
        return self._wire.new_inbox()

    async def _meanwhile(self, fault: Fault | None, moment: str) -> None:
        if fault == f"die {moment}":
            await self.die()
        elif fault == f"pause {moment}":
            self.pause()
        await self._alive()

    async def _alive(self) -> None:
        """Returns in a process that runs; never in one that is dead, until the world ends."""
        await self._running.wait()
        if self.over:
            raise nats.errors.ConnectionClosedError
        if self.dead:
            # The loop knows its tasks only weakly: somebody has to remember what they wait for.
            self._graves.append(asyncio.get_running_loop().create_future())
            await self._graves[-1]
