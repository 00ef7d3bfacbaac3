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
from parley_proto.errors import ParleyError, PermanentError, TransientError
from parley_proto.specialist import AskConsult, AssignTurn, Outcome, TurnFailed, Work
from parley_specialist import metrics
from parley_specialist.attempts import Attempts
from parley_specialist.journal import REVOKED, Journal
from parley_specialist.loop import Loop
from parley_specialist.unexpected import without_its_text

ATTEMPTS = "attempts"
# A log without a leader has one again in 4 to 9 s (nats.md): an answer that is there must not cost an attempt.
ELECTION_S = 15.0


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
            # Its owner has told the customer already: working on it would only cost.
            log("parley.specialist").info("work past its deadline", extra={"turn": work.turn_id})
            return
        with continued(delivery.headers, conversation=work.conversation, turn=work.turn_id):
            if isinstance(work, AssignTurn):
                tried = work, delivery.attempt
                await self._attempts.run(*tried, partial(self._turn, *tried), partial(self._fail, *tried))
            elif delivery.attempt <= self._most:
                await self._consult(work)

    async def _fail(self, turn: AssignTurn, attempt: int) -> None:
        """Say that the turn failed and why, after the attempts that it had."""
        reason = await self._journal.reason(turn)
        await self._publish(turn, self._failed(turn, attempt, ATTEMPTS, reason))

    async def _turn(self, turn: AssignTurn, attempt: int) -> None:
        left = (turn.deadline_at - now_ms()) / 1000
        with metrics.TURN_SECONDS.labels(self._name).time():
            outcome = await self._outcome(turn, attempt, left)
        if outcome is None:
            return
        await self._publish(turn, outcome)
        metrics.TURNS.labels(self._name, type(outcome).__name__).inc()
        log("parley.specialist").info("turn", extra={"outcome": type(outcome).__name__, "attempt": attempt})

    async def _outcome(self, turn: AssignTurn, attempt: int, left: float) -> Outcome | None:
        """How the turn ended; None where it had lost the conversation, so that nobody waits for it."""
        try:
            with without_its_text():
                async with asyncio.timeout(left):
                    return await self._loop.answer(turn, attempt)
        except TimeoutError:
            return self._failed(turn, attempt, "deadline", "The turn ran out of time.")
        except TransientError as error:
            await self._journal.failed(turn, attempt, error)
            raise
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

    async def _publish(self, turn: AssignTurn, outcome: Outcome) -> None:
        """The first outcome of a turn counts; an id per attempt keeps a resend from being a second one."""
        subject = subjects.conv(turn.conversation, self._shards)
        identity = f"{turn.turn_id}-{turn.epoch}-{outcome.attempt}"
        try:
            async for attempt in patient(ELECTION_S):
                with attempt:
                    await self._bus.append(subject, encode(outcome), msg_id=identity, headers=inject())
        except ParleyError as error:
            raise TransientError(f"The outcome is not in the log yet: {error.message}", code=error.code) from error
