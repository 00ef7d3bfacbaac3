"""Many customers at once over a running mesh, and the history of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from random import Random

from parley_cli.client import door
from parley_testkit.bench import until
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

    `talking` is how many have not said all yet. `answer_s` is how long a customer waits for an answer before going on,
    `drain_s` how long all wait at the end for what is still to be answered: once while the fault may last, once when
    it has ended.
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
        self._scripts = [script(turns, Random(f"{seed}/{number}")) for number in range(customers)]
        self._thoughts = [Thought(Random(f"{seed}/{number}/thought"), think_s) for number in range(customers)]
        self._answer_s = answer_s
        self._drain_s = drain_s
        self._customers: list[Customer] = []
        self.talking = customers

    @property
    def accepted(self) -> int:
        """How many messages were acknowledged so far."""
        return sum(len(customer.witness.accepted) for customer in self._customers)

    @property
    def answered(self) -> int:
        return sum(len(customer.witness.answered) for customer in self._customers)

    async def until_answered(self, count: int, timeout_s: float = 60.0) -> None:
        """Return when `count` messages have been answered: where a fault may strike; TimeoutError otherwise."""
        await until(lambda: self.answered >= count, timeout_s)

    async def run(self, fault: Fault | None = None) -> Path:
        """Talk, with `fault` in the midst; when it is healed drain, and add what the mesh and the third party say.

        The path of the history: whether all was answered, it says itself.
        """
        with Recorder(self.path) as recorder:
            # Through every gateway: who loses one goes to the next, as behind a load balancer.
            async with door(",".join(self._mesh.state.urls)) as through:
                self._customers = [
                    Customer(through, recorder, said, self._answer_s, thought)
                    for said, thought in zip(self._scripts, self._thoughts, strict=True)
                ]
                async with asyncio.TaskGroup() as tasks:
                    for customer in self._customers:
                        tasks.create_task(self._converse(customer))
                    if fault:
                        tasks.create_task(self._strike(fault))
                await self._drain()
            threads = [thread for customer in self._customers for thread in customer.witness.threads]
            await record_commits(self._mesh.operator(), threads, recorder, _READ_S)
            await record_effects(cluster_of(self._mesh.home, self._mesh.state), recorder)
        return self.path

    async def _converse(self, customer: Customer) -> None:
        """Talk, and stay for what is still to come: an impatient customer goes on before the answer is there."""
        try:
            await customer.talk()
        finally:
            self.talking -= 1
        await customer.wait(self._drain_s)

    async def _strike(self, fault: Fault) -> None:
        await fault(self)

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
