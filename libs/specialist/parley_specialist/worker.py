"""Work in, outcome out: what a specialist does with one delivery."""

from __future__ import annotations

import asyncio
from functools import partial

from parley_mesh.bus import Bus
from parley_mesh.patience import patient
from parley_mesh.telemetry import continued, inject, log
from parley_mesh.work import Delivery
from parley_proto import subjects
from parley_proto.envelope import decode, encode, now_ms
from parley_proto.errors import ParleyError, PermanentError
from parley_proto.specialist import AskConsult, AssignTurn, Outcome, TurnFailed, Work
from parley_specialist import metrics
from parley_specialist.attempts import Attempts
from parley_specialist.journal import ELECTION_S, REVOKED, Journal
from parley_specialist.loop import Loop
from parley_specialist.unexpected import without_its_text

ATTEMPTS = "attempts"
# Work that has waited longer may be over by now: looking costs a read, and a turn that nobody wants a completion.
WAITED_S = 1.0


class Worker:
    """Handles the deliveries of one specialty's lanes."""

    def __init__(self, name: str, loop: Loop, bus: Bus, shards: int, *, most: int = 4) -> None:
        self._name = name
        self._loop = loop
        self._bus = bus
        self._journal = Journal(bus)
        self._attempts = Attempts(self._journal, most)
        self._most = most
        self._shards = shards

    async def handle(self, delivery: Delivery) -> None:
        """Answer the work; its outcome is in the log before the delivery is acknowledged."""
        work: Work = decode(delivery.data, Work)
        if work.deadline_at <= now_ms():
            await self._too_late(work, delivery.attempt)
            return
        with continued(delivery.headers, conversation=work.conversation, turn=work.turn_id):
            if isinstance(work, AssignTurn):
                tried = work, delivery.attempt
                answer = partial(self._turn, *tried, look=_may_be_over(delivery))
                await self._attempts.run(*tried, answer, partial(self._fail, *tried))
            elif delivery.attempt <= self._most:
                await self._consult(work)

    async def _too_late(self, work: Work, attempt: int) -> None:
        """Nobody waits for it any more: working on it would only cost. Its owner knows by itself, but by one message,
        which may be lost; of two the first counts.
        """
        log("parley.specialist").info("work past its deadline", extra={"turn": work.turn_id})
        if isinstance(work, AssignTurn):
            await self._publish(work, self._failed(work, attempt, "deadline", "The turn ran out of time."))

    async def _fail(self, turn: AssignTurn, attempt: int) -> None:
        """Say that the turn failed and why, after the attempts that it had."""
        reason = await self._journal.reason(turn)
        await self._publish(turn, self._failed(turn, attempt, ATTEMPTS, reason))

    async def _turn(self, turn: AssignTurn, attempt: int, *, look: bool) -> None:
        try:
            with metrics.TURN_SECONDS.labels(self._name).time():
                outcome = await self._outcome(turn, attempt, look=look)
            if outcome:
                await self._tell(turn, outcome)
        except ParleyError as error:
            await self._journal.failed(turn, attempt, error)
            raise

    async def _outcome(self, turn: AssignTurn, attempt: int, *, look: bool) -> Outcome | None:
        """How the turn ended; None where it had lost the conversation, so that nobody waits for it."""
        try:
            with without_its_text():
                async with asyncio.timeout((turn.deadline_at - now_ms()) / 1000):
                    if look:
                        await self._journal.check(turn)
                    return await self._loop.answer(turn, attempt)
        except TimeoutError:
            return self._failed(turn, attempt, "deadline", "The turn ran out of time.")
        except PermanentError as error:
            if error.code == REVOKED:
                log("parley.specialist").info("turn was revoked", extra={"attempt": attempt})
                return None
            log("parley.specialist").warning("turn failed", extra={"code": error.code, "reason": error.message})
            return self._failed(turn, attempt, error.code, error.message)

    async def _consult(self, ask: AskConsult) -> None:
        try:
            with without_its_text():
                async with asyncio.timeout((ask.deadline_at - now_ms()) / 1000):
                    answered = await self._loop.consult(ask)
        except (TimeoutError, ParleyError) as error:
            # No answer in time is an answer: the asker goes on by itself.
            log("parley.specialist").info("consult not answered", extra={"reason": str(error)})
            return
        await self._bus.publish(ask.reply_to, encode(answered), inject())

    def _failed(self, turn: AssignTurn, attempt: int, code: str, reason: str) -> TurnFailed:
        return TurnFailed(
            turn_id=turn.turn_id,
            attempt=attempt,
            epoch=turn.epoch,
            specialty=self._name,
            at=now_ms(),
            code=code,
            reason=reason,
        )

    async def _tell(self, turn: AssignTurn, outcome: Outcome) -> None:
        try:
            await self._publish(turn, outcome)
        except PermanentError as error:
            # The log will never take it: then it has to take why.
            outcome = self._failed(turn, outcome.attempt, error.code, error.message)
            await self._publish(turn, outcome)
        metrics.TURNS.labels(self._name, type(outcome).__name__).inc()
        log("parley.specialist").info("turn", extra={"outcome": type(outcome).__name__, "attempt": outcome.attempt})

    async def _publish(self, turn: AssignTurn, outcome: Outcome) -> None:
        """The first outcome of a turn counts; an id per attempt keeps a resend from being a second one."""
        subject = subjects.conv(turn.conversation, self._shards)
        identity = f"{turn.turn_id}-{turn.epoch}-{outcome.attempt}"
        async for attempt in patient(ELECTION_S):
            with attempt:
                await self._bus.append(subject, encode(outcome), msg_id=identity, headers=inject())


def _may_be_over(delivery: Delivery) -> bool:
    """Whether work has waited so long that a look at its journal pays; a later attempt reads that in any case."""
    taken_in: float = delivery.message.metadata.timestamp.timestamp()
    return delivery.attempt == 1 and now_ms() / 1000 - taken_in > WAITED_S
