"""A side effect happens once: its intent is in the ledger before it, its outcome after it (design.md, 'A turn', 3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from parley_mesh.bus import Bus, Write
from parley_mesh.patience import patient
from parley_proto import subjects
from parley_proto.envelope import decode, digest, encode, now_ms
from parley_proto.errors import UNKNOWN_OUTCOME, ConflictError, PermanentError, TransientError
from parley_proto.specialist import (
    AssignTurn,
    Effect,
    EffectIntended,
    EffectSettled,
    EffectUnknown,
    TurnDecided,
)
from parley_specialist import metrics
from parley_specialist.backoffice import NOT_SENT
from parley_specialist.journal import ELECTION_S, Journal
from parley_specialist.tools import TURN, UNREADABLE, Tool, ToolRefusedError, ToolResult

Act = Callable[[str, dict[str, Any]], Awaitable[ToolResult]]


class UnknownOutcomeError(PermanentError):
    """It is not known whether a side effect has happened, and trying it again can't tell: a person has to find out."""

    code = UNKNOWN_OUTCOME


def effect_key(turn: AssignTurn, tool: Tool, arguments: dict[str, Any]) -> str:
    """The business key: tenant, customer, tool, and the arguments that make the effect unique.

    `$turn` stands for the words that are answered: a handoff or a retry of them is another turn, but no other wish.
    """
    values = [turn.messages[0].message_id if name == TURN else str(arguments[name]) for name in tool.key]
    return digest(turn.identity.tenant, turn.identity.customer_id, tool.spec.name, *values)


class Ledger:
    """The effects of all conversations, by business key. The third party hears the key as its idempotency key, so an
    intent without an outcome is carried out again under the same key, unless that is not safe.

    Every entry follows the one that was read before it: whoever was paused can't undo what others have written since.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.journal = Journal(bus)

    async def once(
        self,
        turn: AssignTurn,
        tool: Tool,
        arguments: dict[str, Any],
        act: Act,
        *,
        decided: TurnDecided | None = None,
        repeatable: bool = True,
    ) -> ToolResult:
        """The result of `act(key, arguments)`, from the ledger if it has already happened; `decided` is noted before.

        PermanentError `revoked` when the turn has lost the conversation; UnknownOutcomeError instead of a second try
        of what is not `repeatable`, and where a second try was refused; ToolRefusedError passes through, recorded.
        """
        key = effect_key(turn, tool, arguments)
        known, seq = await self._known(key)
        if isinstance(known, EffectUnknown) or (isinstance(known, EffectSettled) and known.ok):
            metrics.EFFECTS.labels(tool.spec.name, "recorded").inc()
            return _told(known)
        if isinstance(known, EffectIntended) and not repeatable:
            return _told(await self._record(_given_up(known), seq))
        intent, seq = await self._intend(turn, tool, arguments, key, known, seq, decided)
        try:
            result = await act(_third_partys(intent), intent.arguments)
        except (ToolRefusedError, TransientError) as error:
            again = isinstance(known, EffectIntended)
            return await self._failed(error, _meaning(error, intent, again=again, repeatable=repeatable), seq)
        settled = _settled(intent, ok=True, result={"summary": result.summary, "data": result.data})
        stands = await self._record(settled, seq)
        return result if stands == settled else _told(stands)

    async def _failed(
        self, error: ToolRefusedError | TransientError, outcome: EffectSettled | EffectUnknown | None, seq: int
    ) -> ToolResult:
        """Record what `error` means for the effect and raise it, or tell what others have recorded meanwhile."""
        if outcome is None:
            raise TransientError(error.message, code=error.code) from error
        stands = await self._record(outcome, seq)
        if stands == outcome and isinstance(outcome, EffectSettled):
            raise error
        return _told(stands)

    async def _known(self, key: str) -> tuple[Effect | None, int]:
        """What the ledger says, and the sequence that the next entry must follow."""
        last = await self._bus.last(subjects.effect(key))
        return (decode(last.data, Effect), last.seq) if last else (None, 0)

    async def _intend(
        self,
        turn: AssignTurn,
        tool: Tool,
        arguments: dict[str, Any],
        key: str,
        known: Effect | None,
        seq: int,
        decided: TurnDecided | None,
    ) -> tuple[EffectIntended, int]:
        """The intent and its sequence, in one batch in the turn's journal and in the ledger, over what stood there: a
        turn that was revoked meanwhile writes neither, and who had it before can't settle it any more by a refusal.
        """
        turns = known.round + 1 if isinstance(known, EffectSettled) else (known.round if known else 0)
        # What was intended under a key is what has to be repeated under it, whatever the model says this time.
        body = known.arguments if isinstance(known, EffectIntended) else arguments
        intent = EffectIntended(key, tool.spec.name, turn.conversation, turn.turn_id, turn.epoch, body, now_ms(), turns)
        _, last = await self.journal.read(turn)
        steps = [encode(decided), encode(intent)] if decided else [encode(intent)]
        journal = subjects.step(turn.conversation, turn.turn_id)
        batch = [Write(journal, step, expect=None if number else last) for number, step in enumerate(steps)]
        try:
            return intent, await self._bus.commit([*batch, Write(subjects.effect(key), encode(intent), expect=seq)])
        except ConflictError as error:
            raise _moved() from error

    async def _record(self, outcome: EffectSettled | EffectUnknown, seq: int) -> Effect:
        """What the ledger says after it: `outcome`, or what others have written behind `seq`.

        What is known by now must not be lost to an election.
        """
        async for attempt in patient(ELECTION_S):
            with attempt:
                stands = await self._write(outcome, seq)
        if stands == outcome:
            metrics.EFFECTS.labels(outcome.tool, _name(outcome)).inc()
        return stands

    async def _write(self, outcome: EffectSettled | EffectUnknown, seq: int) -> Effect:
        journal = subjects.step(outcome.conversation, outcome.turn_id)
        entry = encode(outcome)
        try:
            await self._bus.commit([Write(journal, entry), Write(subjects.effect(outcome.key), entry, expect=seq)])
        except ConflictError:
            stands, seq = await self._known(outcome.key)
            if stands is None:
                raise
            return await self._write(outcome, seq) if _overrules(outcome, stands) else stands
        return outcome


def _meaning(
    error: ToolRefusedError | TransientError, intent: EffectIntended, *, again: bool, repeatable: bool
) -> EffectSettled | EffectUnknown | None:
    """What an act that ended with `error` means for the effect; None where doing it again will tell."""
    if isinstance(error, ToolRefusedError):
        if not again and not error.uncertain:
            return _settled(intent, ok=False, result={"summary": error.message})
        # It may have happened before, or be on its way still: a refusal now is not its outcome.
        return None if error.code == UNREADABLE else _given_up(intent)
    if repeatable:
        return None
    if error.code == NOT_SENT:
        return _settled(intent, ok=False, result={"summary": error.message})
    return _given_up(intent)


def _overrules(outcome: EffectSettled | EffectUnknown, stands: Effect) -> bool:
    """A success is a fact, whoever else has taken its intent up or given it up meanwhile; nothing else is."""
    success = isinstance(outcome, EffectSettled) and outcome.ok
    return success and stands.round == outcome.round and not isinstance(stands, EffectSettled)


def _told(effect: Effect) -> ToolResult:
    """What the ledger says of an action, as its result or as the errors of `Ledger.once`."""
    if isinstance(effect, EffectUnknown):
        message = f"It is not known whether {effect.tool} was carried out ({effect.key}); a person has to find out."
        raise UnknownOutcomeError(message)
    if isinstance(effect, EffectIntended):
        raise _moved()
    if not effect.ok:
        raise ToolRefusedError(effect.result["summary"])
    return ToolResult(effect.result["summary"], effect.result.get("data", {}))


def _moved() -> TransientError:
    return TransientError("The turn's journal or the same action has moved on.", code="journal_moved")


def _settled(intent: EffectIntended, *, ok: bool, result: dict[str, Any]) -> EffectSettled:
    return EffectSettled(
        intent.key, intent.tool, intent.conversation, intent.turn_id, ok, result, now_ms(), intent.round
    )


def _given_up(intent: EffectIntended) -> EffectUnknown:
    return EffectUnknown(intent.key, intent.tool, intent.conversation, intent.turn_id, now_ms(), intent.round)


def _name(outcome: EffectSettled | EffectUnknown) -> str:
    """The outcome as its metric calls it."""
    if isinstance(outcome, EffectUnknown):
        return "unknown"
    return "done" if outcome.ok else "refused"


def _third_partys(intent: EffectIntended) -> str:
    """The idempotency key that the third party hears: it may keep a refusal as its answer to the key for ever."""
    return digest(intent.key, str(intent.round)) if intent.round else intent.key
