"""Many customers at once over a running mesh, and the history of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from itertools import count
from pathlib import Path
from random import Random

from parley_cli.client import Door, door
from parley_testkit.history.customer import Customer, Thought
from parley_testkit.history.recorder import Recorder
from parley_testkit.history.scripts import script
from parley_testkit.history.server import record_commits
from parley_testkit.history.third import cluster_of, record_effects
from parley_testkit.mesh import RunningMesh

_READ_S = 60.0
_AT_ONCE = 64

Fault = Callable[["Load"], Awaitable[None]]


class Load:
    """`customers` with `turns` moves each and then a side effect; what they say follows from `seed`, and so does how
    long they think before each move, `think_s` on average: with 0 they are as fast as the mesh and measure its queue.

    Who has said all while a fault still strikes makes room for somebody new, so that none strikes a silent mesh.
    `answer_s` is how long a customer waits for an answer before going on, `drain_s` how long all wait at the end for
    what is still to be answered: once while the fault may last, once when it has ended.
    """

    def __init__(
        self,
        mesh: RunningMesh,
        customers: int,
        turns: int,
        seed: int,
        *,
        think_s: float = 0.0,
        answer_s: float = 60.0,
        drain_s: float = 120.0,
    ) -> None:
        self.path = mesh.folder / f"history-{seed}-{secrets.token_hex(4)}.jsonl"
        self._mesh = mesh
        self._seats = customers
        self._turns = turns
        self._seed = seed
        self._think_s = think_s
        self._answer_s = answer_s
        self._drain_s = drain_s
        self._customers: list[Customer] = []
        self._striking = False

    @property
    def answered(self) -> int:
        """How many messages were answered so far."""
        return sum(len(customer.witness.answered) for customer in self._customers)

    async def run(self, fault: Fault | None = None) -> Path:
        """Talk, with `fault` in the midst; when it is healed drain, and add what the mesh and the third party say.

        The path of the history: whether all was answered, it says itself.
        """
        with Recorder(self.path) as recorder:
            # Through every gateway: who loses one goes to the next, as behind a load balancer.
            async with door(",".join(self._mesh.state.urls)) as through:
                async with asyncio.TaskGroup() as tasks:
                    if fault:
                        self._striking = True
                        tasks.create_task(self._strike(fault))
                    for seat in range(self._seats):
                        tasks.create_task(self._converse(seat, through, recorder))
                await self._drain()
            threads = [thread for customer in self._customers for thread in customer.witness.threads]
            await record_commits(self._mesh.operator(), threads, recorder, _READ_S)
            await record_effects(cluster_of(self._mesh.home, self._mesh.state), recorder)
        return self.path

    async def _converse(self, seat: int, through: Door, recorder: Recorder) -> None:
        """Talk, and stay for what is still to come: an impatient customer goes on before the answer is there."""
        for visit in count():
            seed = f"{self._seed}/{seat}/{visit}"
            thought = Thought(Random(f"{seed}/thought"), self._think_s)
            customer = Customer(through, recorder, script(self._turns, Random(seed)), self._answer_s, thought)
            self._customers.append(customer)
            await customer.talk()
            await customer.wait(self._drain_s)
            if not self._striking:
                return

    async def _strike(self, fault: Fault) -> None:
        try:
            await fault(self)
        finally:
            self._striking = False

    async def _drain(self) -> None:
        """Wait for what was not answered before all was healed, then read every conversation from its beginning."""
        deadline = time.monotonic() + self._drain_s
        await _few_at_once(self._customers, lambda customer: customer.wait(max(1.0, deadline - time.monotonic())))
        await _few_at_once(self._customers, lambda customer: customer.read_again(_READ_S))


async def _few_at_once(customers: Iterable[Customer], call: Callable[[Customer], Awaitable[object]]) -> None:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(customer: Customer) -> None:
        async with places:
            await call(customer)

    await asyncio.gather(*(one(customer) for customer in customers))
