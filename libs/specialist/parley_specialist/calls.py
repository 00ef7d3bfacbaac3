"""Carrying out what a model asks for: checked arguments, the specialty's rules, a confirmed effect, once."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from parley_mesh.telemetry import tracer
from parley_proto.envelope import encode, now_ms
from parley_proto.errors import PermanentError
from parley_proto.llm import ChatMessage, ToolCall
from parley_proto.specialist import AssignTurn, Offer, TurnDecided
from parley_specialist import metrics
from parley_specialist.backoffice import BackofficeClient
from parley_specialist.consent import agrees
from parley_specialist.ledger import Ledger
from parley_specialist.outcome import Done
from parley_specialist.quarantine import data
from parley_specialist.spec import Spec
from parley_specialist.tools import Tool, ToolContext, ToolRefusedError, ToolResult

LONGEST_ARGUMENTS = 8_000
LONGEST_RESULT = 24_000
MOST_CALLS = 8
LONGEST_CHAT = 200_000
LONGEST_CUT = 2_000
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


class Refused(msgspec.Struct, frozen=True):
    code: str
    message: str


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool's result as the model reads it."""

    ok: bool
    summary: str = ""
    data: dict[str, Any] = {}
    suggest: Any = None
    needs_confirmation: dict[str, str] | None = None
    error: Refused | None = None

    def text(self) -> str:
        """JSON for the model, in which every text is data; without `data` where that would be too long."""
        told = encode(data(msgspec.to_builtins(self))).decode()
        if len(told) <= LONGEST_RESULT:
            return told
        return encode(data(msgspec.to_builtins(msgspec.structs.replace(self, data={"too_long": True})))).decode()


def refusal(code: str, message: str) -> Reply:
    return Reply(False, error=Refused(code, message))


def sound(calls: list[ToolCall]) -> list[ToolCall]:
    """What a model wants to call, with names and sizes that go through: it may have written anything."""
    return [_sound(number, call) for number, call in enumerate(calls[:MOST_CALLS], start=1)]


def _sound(number: int, call: ToolCall) -> ToolCall:
    name = _NOT_A_NAME.sub("_", call.name[:64]) or "_"
    # A JSON text that no tool takes, so that the model hears that its call was refused.
    arguments = call.arguments if len(call.arguments) <= LONGEST_ARGUMENTS else '"too long"'
    return ToolCall(_NOT_A_NAME.sub("_", call.id[:64]) or f"call_{number}", name, arguments)


class Caller:
    """Runs the tools of one specialty; `idempotent` is what the third party is (`Settings.backoffice_idempotent`)."""

    def __init__(self, spec: Spec, backoffice: BackofficeClient, ledger: Ledger, *, idempotent: bool = True) -> None:
        self._spec = spec
        self._tools = {tool.spec.name: tool for tool in spec.tools}
        self._backoffice = backoffice
        self._ledger = ledger
        self._idempotent = idempotent

    async def decided(self, turn: AssignTurn) -> TurnDecided | None:
        """Where an earlier attempt at this turn stood at its last side effect. PermanentError `revoked`."""
        return await self._ledger.journal.decided(turn)

    async def call(
        self, call: ToolCall, turn: AssignTurn, done: Done, chat: list[ChatMessage], *, effects: bool = True
    ) -> Reply:
        """The result, or why not; TransientError, `revoked` and UnknownOutcomeError end the turn's attempt instead.

        `chat` is what led to the call, since the turn's opening: it is recorded before a side effect.
        """
        tool = self._tools.get(call.name)
        if tool is None or (tool.effect and not effects):
            return refusal("no_such_tool", f"There is no tool {call.name[:60]!r} here.")
        with tracer().start_as_current_span(f"tool {call.name}"):
            reply = await self._checked(tool, call, turn, done, chat)
        result = "ok" if reply.ok else (reply.error.code if reply.error else "refused")
        metrics.TOOL_CALLS.labels(self._spec.name, call.name, result).inc()
        return reply

    async def _checked(
        self, tool: Tool, call: ToolCall, turn: AssignTurn, done: Done, chat: list[ChatMessage]
    ) -> Reply:
        try:
            arguments = tool.check(call.arguments)
        except PermanentError as error:
            return refusal(error.code, error.message)
        reason = self._spec.rules.check(call.name, arguments, turn)
        if reason:
            return refusal("refused", reason)
        try:
            if tool.confirm and not _confirmed(turn, tool, arguments):
                return await self._ask(tool, arguments, turn, done)
            result = await self._carry_out(tool, arguments, turn, done, chat)
        except ToolRefusedError as error:
            return refusal(error.code, error.message)
        done.tools.append(tool.spec.name)
        done.facts.append(result.summary)
        return Reply(True, result.summary, result.data, result.suggest)

    async def _ask(self, tool: Tool, arguments: dict[str, Any], turn: AssignTurn, done: Done) -> Reply:
        """Offer it, unless it is known to be impossible. ToolRefusedError says why it is."""
        if tool.before_asking:
            await tool.before_asking(self._context(tool, turn), **arguments)
        question = tool.question(arguments)
        done.offer = Offer(tool.spec.name, arguments, question)
        return Reply(True, needs_confirmation={"question": question})

    def _context(self, tool: Tool, turn: AssignTurn, key: str = "") -> ToolContext:
        backoffice = self._backoffice.of(turn.identity, key, repeatable=self._repeatable(tool))
        return ToolContext(turn.identity, turn.conversation, turn.turn_id, backoffice)

    def _repeatable(self, tool: Tool) -> bool:
        return tool.repeatable and self._idempotent

    async def _carry_out(
        self, tool: Tool, arguments: dict[str, Any], turn: AssignTurn, done: Done, chat: list[ChatMessage]
    ) -> ToolResult:
        async def act(key: str, intended: dict[str, Any]) -> ToolResult:
            return await tool.function(self._context(tool, turn, key), **intended)

        if not tool.effect:
            return await act("", arguments)
        decided = _decided(turn, done, chat)
        return await self._ledger.once(turn, tool, arguments, act, decided=decided, repeatable=self._repeatable(tool))


def _decided(turn: AssignTurn, done: Done, chat: list[ChatMessage]) -> TurnDecided:
    """As much of `chat` as a message of the log can hold: long results are cut, calls are kept."""
    said = list(chat)
    if sum(len(message.content) for message in said) > LONGEST_CHAT:
        said = [msgspec.structs.replace(message, content=message.content[:LONGEST_CUT]) for message in said]
    return TurnDecided(turn.turn_id, now_ms(), said, list(done.tools), list(done.facts), done.offer)


def _confirmed(turn: AssignTurn, tool: Tool, arguments: dict[str, Any]) -> bool:
    """Only what the customer was asked about, with these very arguments, and only on the customer's own yes."""
    offer = turn.offer
    asked = offer is not None and offer.tool == tool.spec.name and offer.arguments == arguments
    return asked and agrees([line.text for line in turn.messages])
