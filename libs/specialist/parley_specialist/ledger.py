"""A side effect happens once: its intent is in the ledger before it, its outcome after it (design.md, 'A turn', 3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from parley_mesh.bus import Bus
from parley_proto import subjects
from parley_proto.envelope import decode, digest, encode, now_ms
from parley_proto.errors import ConflictError, PermanentError, TransientError
from parley_proto.specialist import AssignTurn, Effect, EffectIntended, EffectSettled, Step, TurnRevoked
from parley_specialist import metrics
from parley_specialist.tools import TURN, Tool, ToolRefusedError, ToolResult


def effect_key(turn: AssignTurn, tool: Tool, arguments: dict[str, Any]) -> str:
    """The business key: tenant, customer, tool, and the arguments that make the effect unique."""
    values = [turn.turn_id if name == TURN else str(arguments[name]) for name in tool.key]
    return digest(turn.identity.tenant, turn.identity.customer_id, tool.spec.name, *values)


class Ledger:
    """The effects of all conversations, by business key. The third party hears the key as its idempotency key, so an
    intent without an outcome is carried out again under the same key rather than guessed at.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def once(
        self,
        turn: AssignTurn,
        tool: Tool,
        arguments: dict[str, Any],
        effect: Callable[[str, dict[str, Any]], Awaitable[ToolResult]],
    ) -> ToolResult:
        """The result of `effect(key, arguments)`, from the ledger if it has already happened.

        PermanentError `revoked` when the turn has lost the conversation; ToolRefusedError passes through, recorded.
        """
        key = effect_key(turn, tool, arguments)
        known, seq = await self._known(key)
        if isinstance(known, EffectSettled) and known.ok:
            metrics.EFFECTS.labels(tool.spec.name, "recorded").inc()
            return ToolResult(known.result["summary"], known.result.get("data", {}))
        intent = await self._intend(turn, tool, arguments, key, known, seq)
        try:
            result = await effect(_third_partys(intent), intent.arguments)
        except ToolRefusedError as error:
            # What was intended before may have happened: only its own outcome can settle it, not a refusal now.
            if not isinstance(known, EffectIntended):
                await self._settle(intent, ok=False, result={"summary": error.message})
            raise
        await self._settle(intent, ok=True, result={"summary": result.summary, "data": result.data})
        return result

    async def _known(self, key: str) -> tuple[Effect | None, int]:
        """What the ledger says, and the sequence that the next entry must follow."""
        last = await self._bus.last(subjects.effect(key))
        return (decode(last.data, Effect), last.seq) if last else (None, 0)

    async def _intend(
        self, turn: AssignTurn, tool: Tool, arguments: dict[str, Any], key: str, known: Effect | None, seq: int
    ) -> EffectIntended:
        """The intent, in the turn's journal and then in the ledger; an unsettled one is taken up as it stands."""
        turns = known.round + 1 if isinstance(known, EffectSettled) else (known.round if known else 0)
        # What was intended under a key is what has to be repeated under it, whatever the model says this time.
        body = known.arguments if isinstance(known, EffectIntended) else arguments
        intent = EffectIntended(key, tool.spec.name, turn.conversation, turn.turn_id, turn.epoch, body, now_ms(), turns)
        await self._fence(turn, intent)
        if isinstance(known, EffectIntended):
            return intent
        try:
            await self._bus.append(subjects.effect(key), encode(intent), expect=seq)
        except ConflictError as error:
            raise TransientError("The same action is being carried out just now.", code="effect_in_progress") from error
        return intent

    async def _fence(self, turn: AssignTurn, intent: EffectIntended) -> None:
        """Into the turn's journal, right after what stood there: a revoked turn may not act."""
        subject = subjects.step(turn.conversation, turn.turn_id)
        last = await self._bus.last(subject)
        step: Step | None = decode(last.data, Step) if last else None
        if last is None or step is None or isinstance(step, TurnRevoked):
            raise PermanentError("This turn has lost the conversation and may not act.", code="revoked")
        try:
            await self._bus.append(subject, encode(intent), expect=last.seq)
        except ConflictError as error:
            raise TransientError("The turn's journal has moved on.", code="journal_moved") from error

    async def _settle(self, intent: EffectIntended, *, ok: bool, result: dict[str, Any]) -> None:
        outcome = EffectSettled(
            intent.key, intent.tool, intent.conversation, intent.turn_id, ok, result, now_ms(), intent.round
        )
        await self._bus.append(subjects.effect(intent.key), encode(outcome))
        await self._bus.append(subjects.step(intent.conversation, intent.turn_id), encode(outcome))
        metrics.EFFECTS.labels(intent.tool, "done" if ok else "refused").inc()


def _third_partys(intent: EffectIntended) -> str:
    """The idempotency key that the third party hears: it may keep a refusal as its answer to the key for ever."""
    return digest(intent.key, str(intent.round)) if intent.round else intent.key
