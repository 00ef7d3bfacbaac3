"""OpenAI Agents SDK: two agents and a handoff, a model that is a stub, a session on SQLite; --mode sqlite or async.

The modes are the SDK's two classes, SQLiteSession (threads) and AsyncSQLiteSession (aiosqlite). Each process has a
database file of its own, so that processes do not wait for each other's lock. The SDK opens it in WAL mode and leaves
`synchronous` at SQLite's default, FULL: a commit waits for the disk.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from agents import Agent, Model, ModelResponse, RunConfig, Runner, SQLiteSession, Usage, handoff, set_tracing_disabled
from agents.extensions.memory import AsyncSQLiteSession
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText
from peer_race import Options, Turn, options, race
from peer_work import Kept, handed, question, reply
from pydantic import BaseModel

SESSIONS = {"sqlite": SQLiteSession, "async": AsyncSQLiteSession}
TRANSFER = "transfer_to_second"


class Handed(BaseModel):
    context: str


class Stub(Model):
    """Answers at once: the first specialist with a handoff, the second one with its reply."""

    async def get_response(
        self, system_instructions: str | None, input: Any, *more: Any, **named: Any
    ) -> ModelResponse:
        said = self._second(input) if system_instructions == "second" else self._first(input)
        return ModelResponse(output=[said], usage=Usage(), response_id=None)

    def stream_response(self, *more: Any, **named: Any) -> AsyncIterator[Any]:
        raise NotImplementedError

    def _first(self, asked: list[Any]) -> ResponseFunctionToolCall:
        conversation, _, rest = asked[-1]["content"].partition(" asks for the ")
        arguments = json.dumps({"context": handed(conversation, int(rest.partition(".")[0]))})
        return ResponseFunctionToolCall(
            type="function_call", name=TRANSFER, call_id=uuid.uuid4().hex, arguments=arguments
        )

    def _second(self, asked: list[Any]) -> ResponseOutputMessage:
        text = ResponseOutputText(type="output_text", text=reply(last_context(asked)), annotations=[])
        return ResponseOutputMessage(
            id=uuid.uuid4().hex, type="message", role="assistant", status="completed", content=[text]
        )


def last_context(items: list[Any]) -> str:
    calls = [item for item in items if item.get("type") == "function_call"]
    return str(json.loads(calls[-1]["arguments"])["context"])


async def _taken(_context: Any, _handed: Handed) -> None:
    """Nothing to do: what is handed over is in the session's history."""


def specialists() -> Agent[None]:
    second: Agent[None] = Agent(name="second", instructions="second", model=Stub())
    over = handoff(second, tool_name_override=TRANSFER, on_handoff=_taken, input_type=Handed)
    return Agent(name="first", instructions="first", model=Stub(), handoffs=[over])


class OpenAIAgents:
    """One process; its conversations share its file, each has a session of its own."""

    def __init__(self, chosen: Options) -> None:
        set_tracing_disabled(True)
        self._chosen = chosen
        self._first = specialists()
        self._config = RunConfig(tracing_disabled=True)
        self._sessions: dict[int, tuple[str, Any]] = {}

    async def __aenter__(self) -> OpenAIAgents:
        return self

    async def __aexit__(self, *error: object) -> None:
        for _, session in self._sessions.values():
            await closed(session)

    def turn(self, slot: int) -> Turn:
        async def take(conversation: str, turn: int) -> str:
            session = await self._session(slot, conversation)
            asked = question(conversation, turn)
            done = await Runner.run(self._first, asked, session=session, run_config=self._config)
            return str(done.final_output)

        return take

    async def kept(self, conversation: str) -> Kept | None:
        session = self._open(conversation)
        items: list[Any] = await session.get_items()
        await closed(session)
        return Kept(last_context(items), sum("role" in item for item in items)) if items else None

    async def _session(self, slot: int, conversation: str) -> Any:
        """The session of the conversation that the slot is at; that of the one before is closed."""
        before = self._sessions.get(slot)
        if before and before[0] == conversation:
            return before[1]
        if before:
            await closed(before[1])
        self._sessions[slot] = conversation, self._open(conversation)
        return self._sessions[slot][1]

    def _open(self, conversation: str) -> Any:
        number = int(conversation.rpartition("-")[2]) % self._chosen.processes
        file = Path(self._chosen.folder) / f"openai-agents-{self._chosen.mode}-{number}.sqlite"
        return SESSIONS[self._chosen.mode or "sqlite"](conversation, file)


async def closed(session: Any) -> None:
    closing = session.close()
    if closing is not None:
        await closing


if __name__ == "__main__":
    race(options(__doc__), OpenAIAgents)
