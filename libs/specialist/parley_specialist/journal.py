"""A turn's journal: what it decided and did, so that another process goes on from there (design.md, 'A turn', 3)."""

from __future__ import annotations

import contextlib

from parley_mesh.bus import Bus
from parley_proto import subjects
from parley_proto.envelope import decode, encode, now_ms
from parley_proto.errors import ParleyError, PermanentError, TransientError
from parley_proto.specialist import AssignTurn, AttemptBegan, AttemptFailed, Step, TurnDecided, TurnRevoked

REVOKED = "revoked"
# A log without a leader has one again in 4 to 9 s (nats.md): what is known by now must not cost an attempt.
ELECTION_S = 15.0


class Journal:
    """The journals of all turns, on the log."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def read(self, turn: AssignTurn) -> tuple[list[Step], int]:
        """The steps so far, oldest first, and the sequence that the next one must follow.

        PermanentError `revoked` where the turn may not act any more.
        """
        subject, steps, seq = _subject(turn), list[Step](), 0
        while stored := await self._bus.next(subject, seq):
            steps.append(decode(stored.data, Step))
            seq = stored.seq
        # Not only the last step counts: whoever was too late may have noted its outcome behind the revocation.
        if not steps or any(isinstance(step, TurnRevoked) for step in steps):
            raise _revoked()
        return steps, seq

    async def check(self, turn: AssignTurn) -> None:
        """PermanentError `revoked` where nobody waits for the turn, as far as its last step tells; where the log is
        away, that shows later.
        """
        with contextlib.suppress(TransientError):
            last = await self._bus.last(_subject(turn))
            if last is None or isinstance(decode(last.data, Step), TurnRevoked):
                raise _revoked()

    async def decided(self, turn: AssignTurn) -> TurnDecided | None:
        """Where an earlier attempt stood at its last side effect; None where it had none. `revoked` as above."""
        steps, _ = await self.read(turn)
        return next((step for step in reversed(steps) if isinstance(step, TurnDecided)), None)

    async def began(self, turn: AssignTurn, attempt: int) -> None:
        """Note that an attempt begins: if its process dies, it was not only beside another."""
        await self._bus.append(_subject(turn), encode(AttemptBegan(turn.turn_id, attempt, now_ms())))

    async def failed(self, turn: AssignTurn, attempt: int, error: ParleyError) -> None:
        """Note why an attempt failed; where the log is away, only the reason is lost."""
        step = AttemptFailed(turn.turn_id, attempt, error.code, error.message[:500], now_ms())
        with contextlib.suppress(ParleyError):
            await self._bus.append(_subject(turn), encode(step))

    async def reason(self, turn: AssignTurn) -> str:
        """Why the attempts at a turn failed, as far as they could say. `revoked` as above."""
        steps, _ = await self.read(turn)
        told = [step.reason for step in steps if isinstance(step, AttemptFailed)]
        return told[-1] if told else "Each process that worked on it ended before it was done."


def _revoked() -> PermanentError:
    return PermanentError("This turn has lost the conversation and may not act.", code=REVOKED)


def _subject(turn: AssignTurn) -> str:
    return subjects.step(turn.conversation, turn.turn_id)
