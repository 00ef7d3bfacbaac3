"""A side effect happens once: its intent is in the ledger before it, its outcome after it (design.md, 'A turn', 3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from parley_mesh.bus import Bus, Write
from parley_proto import subjects
from parley_proto.envelope import decode, digest, encode, now_ms
from parley_proto.errors import ConflictError, PermanentError, TransientError
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
from parley_specialist.journal import Journal
from parley_specialist.tools import TURN, Tool, ToolRefusedError, ToolResult

Act = Callable[[str, dict[str, Any]], Awaitable[ToolResult]]


class UnknownOutcomeError(PermanentError):
    """It is not known whether a side effect that can't be repeated has happened: a person has to find out."""

    code = "unknown_outcome"


def effect_key(turn: AssignTurn, tool: Tool, arguments: dict[str, Any]) -> str:
    """The business key: tenant, customer, tool, and the arguments that make the effect unique.

    `$turn` stands for the words that are answered: a handoff or a retry of them is another turn, but no other wish.
    """
    values = [turn.messages[0].message_id if name == TURN else str(arguments[name]) for name in tool.key]
    return digest(turn.identity.tenant, turn.identity.customer_id, tool.spec.name, *values)


class Ledger:
    """The effects of all conversations, by business key. The third party hears the key as its idempotency key, so an
    intent without an outcome is carried out again under the same key, unless that is not safe.
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
        of what is not `repeatable`; ToolRefusedError passes through, recorded.
        """
        key = effect_key(turn, tool, arguments)
        known, seq = await self._known(key)
        if isinstance(known, EffectSettled) and known.ok:
            metrics.EFFECTS.labels(tool.spec.name, "recorded").inc()
            return ToolResult(known.result["summary"], known.result.get("data", {}))
        if isinstance(known, EffectUnknown):
            raise _unknown(known)
        if isinstance(known, EffectIntended) and not repeatable:
            raise await self._given_up(known)
        intent = await self._intend(turn, tool, arguments, key, known, seq, decided)
        return await self._act(intent, act, again=isinstance(known, EffectIntended), repeatable=repeatable)

    async def _act(self, intent: EffectIntended, act: Act, *, again: bool, repeatable: bool) -> ToolResult:
        try:
            result = await act(_third_partys(intent), intent.arguments)
        except ToolRefusedError as error:
            # What was intended before may have happened: only its own outcome can settle it, not a refusal now.
            if not again:
                await self._settle(intent, ok=False, result={"summary": error.message})
            raise
        except TransientError as error:
            if repeatable:
                raise
            if error.code != NOT_SENT:
                raise await self._given_up(intent) from error
            await self._settle(intent, ok=False, result={"summary": error.message})
            raise
        await self._settle(intent, ok=True, result={"summary": result.summary, "data": result.data})
        return result

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
    ) -> EffectIntended:
        """The intent, in one batch in the turn's journal and in the ledger, over what stood there: a turn that was
        revoked meanwhile writes neither. An unsettled intent is taken up as it stands.
        """
        turns = known.round + 1 if isinstance(known, EffectSettled) else (known.round if known else 0)
        # What was intended under a key is what has to be repeated under it, whatever the model says this time.
        body = known.arguments if isinstance(known, EffectIntended) else arguments
        intent = EffectIntended(key, tool.spec.name, turn.conversation, turn.turn_id, turn.epoch, body, now_ms(), turns)
        _, last = await self.journal.read(turn)
        steps = [encode(decided), encode(intent)] if decided else [encode(intent)]
        journal = subjects.step(turn.conversation, turn.turn_id)
        batch = [Write(journal, step, expect=None if number else last) for number, step in enumerate(steps)]
        if not isinstance(known, EffectIntended):
            batch.append(Write(subjects.effect(key), encode(intent), expect=seq))
        try:
            await self._bus.commit(batch)
        except ConflictError as error:
            raise TransientError("The turn's journal or the same action has moved on.", code="journal_moved") from error
        return intent

    async def _given_up(self, intent: EffectIntended) -> UnknownOutcomeError:
        unknown = EffectUnknown(
            intent.key, intent.tool, intent.conversation, intent.turn_id, now_ms(), round=intent.round
        )
        await self._record(unknown)
        metrics.EFFECTS.labels(intent.tool, "unknown").inc()
        return _unknown(unknown)

    async def _settle(self, intent: EffectIntended, *, ok: bool, result: dict[str, Any]) -> None:
        outcome = EffectSettled(
            intent.key, intent.tool, intent.conversation, intent.turn_id, ok, result, now_ms(), intent.round
        )
        await self._record(outcome)
        metrics.EFFECTS.labels(intent.tool, "done" if ok else "refused").inc()

    async def _record(self, effect: EffectSettled | EffectUnknown) -> None:
        journal = subjects.step(effect.conversation, effect.turn_id)
        await self._bus.commit([Write(journal, encode(effect)), Write(subjects.effect(effect.key), encode(effect))])


def _unknown(effect: EffectUnknown) -> UnknownOutcomeError:
    return UnknownOutcomeError(f"It is not known whether {effect.tool} was carried out; a person has to find out.")


def _third_partys(intent: EffectIntended) -> str:
    """The idempotency key that the third party hears: it may keep a refusal as its answer to the key for ever."""
    return digest(intent.key, str(intent.round)) if intent.round else intent.key
