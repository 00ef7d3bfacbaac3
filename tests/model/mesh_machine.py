"""The rules of the model check: what customers do, and what goes wrong, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import ClassVar, TypeVar

from faulty_wire import FAULTS, OF_A_SPECIALIST, OF_AN_EFFECT, OF_AN_OWNER, Fault, Step
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mesh_processes import POISON
from mutant_wire import Mutation
from virtual_time import Clock, VirtualLoop, instead_of_time
from whole_mesh import CONVERSATIONS, OWNERS, SPECIALISTS, World

from parley_mesh.memory import MemoryClient, MemoryServer
from parley_mesh.wire import Wire

T = TypeVar("T")
MOMENT_S = 0.05
# Tenths of a turn's time.
HEALED_WITHIN = 120
conversations = st.sampled_from(CONVERSATIONS)
faults = st.sampled_from(FAULTS)
processes = st.sampled_from(OWNERS + SPECIALISTS)
texts = st.sampled_from(["hello", "refund PAY-1", "refund PAY-2", "device hello", "move", "person", "fail", "hm"])


class MeshMachine(RuleBasedStateMachine):
    """On the server in memory, in virtual time; `pace` makes the times that pass shorter. `steps` counts the rules that
    ran, over all examples.
    """

    steps: ClassVar[int] = 0
    mutation: ClassVar[Mutation] = ""
    turn_timeout_s: ClassVar[float] = 20.0
    window_s: ClassVar[int] = 10
    pace: ClassVar[float] = 1.0

    def __init__(self) -> None:
        super().__init__()
        self._opened = False

    @initialize(idempotent=st.booleans())
    def open(self, idempotent: bool) -> None:
        self._begin()
        self.world = World(
            self._connect,
            turn_timeout_s=self.turn_timeout_s,
            window_s=self.window_s,
            idempotent=idempotent,
            mutation=self.mutation,
        )
        self._opened = True
        self.do(self.world.open())

    @rule(conversation=conversations, text=texts)
    def send(self, conversation: str, text: str) -> None:
        self.do(self.world.send(conversation, text))

    @rule(conversation=conversations, text=texts, fault=st.sampled_from(["lose it", "lose the answer"]))
    def send_over_a_bad_line(self, conversation: str, text: str, fault: Fault) -> None:
        self.world.door.plan("accept", fault)
        self.do(self.world.send(conversation, text))

    @precondition(lambda self: self._opened and self.world.sent)
    @rule(data=st.data(), other=st.booleans())
    def resend(self, data: st.DataObject, other: bool) -> None:
        sent = data.draw(st.sampled_from(self.world.sent), label="message")
        self.do(self.world.resend(sent, sent.message.text + (" or so" if other else "")))

    @rule(conversation=conversations)
    def cancel(self, conversation: str) -> None:
        self.do(self.world.cancel(conversation))

    @rule(conversation=conversations, moment=st.sampled_from([0.05, 0.2, 0.35]))
    def a_cancel_meets_a_refund(self, conversation: str, moment: float) -> None:
        """Its owner stands still when it has looked at what the turn has done, and writes when that has changed."""
        self.do(self.world.send(conversation, f"refund PAY-{1000 + len(self.world.sent)}"))
        self.do(asyncio.sleep(moment))
        for owner in OWNERS:
            self.world.processes[owner].wire.plan("commit", "pause before")
        self.do(self.world.cancel(conversation))
        self.do(asyncio.sleep(0.5))
        for owner in OWNERS:
            self.world.processes[owner].wire.go_on()

    @rule(conversation=conversations, specialty=st.sampled_from(["escalation", "technical"]))
    def want_somebody_else(self, conversation: str, specialty: str) -> None:
        self.do(self.world.want(conversation, specialty))

    @rule(owner=st.sampled_from(OWNERS), step=st.sampled_from(OF_AN_OWNER), fault=faults)
    def an_owner_fails_at(self, owner: str, step: Step, fault: Fault) -> None:
        self.world.processes[owner].wire.plan(step, fault)

    @rule(specialist=st.sampled_from(SPECIALISTS), step=st.sampled_from(OF_A_SPECIALIST), fault=faults)
    def a_specialist_fails_at(self, specialist: str, step: Step, fault: Fault) -> None:
        self.world.processes[specialist].wire.plan(step, fault)

    @rule(
        conversation=conversations,
        step=st.sampled_from(OF_AN_EFFECT),
        fault=faults,
        again=st.booleans(),
        refusals=st.integers(0, 2),
    )
    def a_refund_goes_wrong(self, conversation: str, step: Step, fault: Fault, again: bool, refusals: int) -> None:
        """Whoever carries it out fails at one of its steps, and `again` whoever takes over; it may be refused too."""
        self.world.company.refusals = refusals
        for name in SPECIALISTS if again else SPECIALISTS[:1]:
            self.world.processes[name].wire.plan(step, fault)
        self.do(self.world.send(conversation, f"refund PAY-{1000 + len(self.world.sent)}"))
        self.do(asyncio.sleep(self.turn_timeout_s / 8))

    @rule(conversation=conversations)
    def a_refusal_comes_late(self, conversation: str) -> None:
        """Whoever heard it stands still before it is recorded, and another one tries the same refund meanwhile."""
        self.world.company.refusals = 1
        wires = [self.world.processes[name].wire for name in SPECIALISTS]
        for wire in wires:
            wire.plan("settle", "pause before")
        self.do(self.world.send(conversation, f"refund PAY-{1000 + len(self.world.sent)}"))
        self.do(asyncio.sleep(1.0 * self.pace))
        for wire in wires:
            if not wire.paused:
                wire.heal()
        self.do(asyncio.sleep(self.turn_timeout_s / 2))
        for wire in wires:
            wire.go_on()

    @rule(owner=st.sampled_from(OWNERS), conversation=conversations)
    def an_owner_stands_still_before_it_writes(self, owner: str, conversation: str) -> None:
        """Until others have taken over and written: then it goes on with a state that is an old one."""
        self.world.processes[owner].wire.plan("commit", "pause before")
        self.do(self.world.send(conversation, "hello"))
        self.do(asyncio.sleep(self.turn_timeout_s / 4))

    @rule(owner=st.sampled_from(OWNERS), conversation=conversations, fault=faults, behind=st.integers(0, 2))
    def no_owner_can_handle_an_entry(self, owner: str, conversation: str, fault: Fault, behind: int) -> None:
        """Whoever is given it first may fail before it has said so: then it is met where the next ones are read."""
        self.world.processes[owner].wire.plan("read", fault)
        for text in (POISON, *["hello"] * behind):
            self.do(self.world.send(conversation, text))
        self.do(asyncio.sleep(self.turn_timeout_s / 4))

    @rule(process=processes)
    def crash(self, process: str) -> None:
        self.do(self.world.processes[process].wire.die())

    @rule(process=processes)
    def start_anew(self, process: str) -> None:
        wire = self.world.processes[process].wire
        if wire.dead:
            self.do(self.world.start(process))

    @rule(process=processes)
    def pause(self, process: str) -> None:
        self.world.processes[process].wire.pause()

    @rule(process=processes)
    def go_on(self, process: str) -> None:
        self.world.processes[process].wire.go_on()

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.0, 3.0, 7.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds * self.pace))

    @rule()
    def ids_are_forgotten(self) -> None:
        self.do(asyncio.sleep(self.window_s + 0.2))

    @invariant()
    def every_promise_holds(self) -> None:
        if self._opened:
            type(self).steps += 1
            self.do(asyncio.sleep(MOMENT_S))
            self.do(self.world.check())

    def teardown(self) -> None:
        if not self._opened:
            return
        try:
            self.do(self._come_to_rest())
        finally:
            self.do(self.world.close())
            self._end()

    async def _come_to_rest(self) -> None:
        """Heal, and wait until nobody waits any more; then long enough for what comes late to show itself."""
        await self.world.heal()
        for _ in range(HEALED_WITHIN):
            await asyncio.sleep(self.turn_timeout_s / 10)
            await self.world.check()
            if await self.world.settled():
                break
        await asyncio.sleep(self.turn_timeout_s)
        await self.world.check()
        self.world.check_all_answered()

    def do(self, work: Awaitable[T]) -> T:
        async def all_of_it() -> T:
            return await work

        return self._loop.run_until_complete(all_of_it())

    async def _connect(self) -> Wire:
        return MemoryClient(self._server)

    def _begin(self) -> None:
        clock = Clock()
        self._time = instead_of_time(clock)
        self._time.__enter__()
        self._loop: asyncio.AbstractEventLoop = VirtualLoop(clock)
        self._server = MemoryServer(clock.now_ms)

    def _end(self) -> None:
        self._loop.close()
        self._time.__exit__(None, None, None)
