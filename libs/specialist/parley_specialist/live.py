"""What the customer sees while a turn runs: words, stages and tools, on core NATS and never stored."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from parley_mesh.bus import Bus
from parley_mesh.telemetry import log
from parley_proto import subjects
from parley_proto.conversation import Delta, Live, StepShown, ToolShown, reply_id
from parley_proto.envelope import encode
from parley_proto.errors import ParleyError, PermanentError
from parley_proto.specialist import AssignTurn
from parley_specialist.shown import LONGEST_ANSWER, Shown


class Voice:
    """Speaks for one attempt of one turn. What can't be sent is lost: the committed answer has it all.

    A `silent` one is for consults, which the customer does not hear.
    """

    def __init__(self, bus: Bus, turn: AssignTurn, attempt: int, *, silent: bool = False) -> None:
        self._silent = silent
        self._bus = bus
        self._subject = subjects.live(turn.conversation)
        self._turn = turn
        self._attempt = attempt
        self._message_id = reply_id(turn.turn_id)

    async def say(self, offset: int, text: str) -> None:
        turn = self._turn
        await self._send(Delta(turn.turn_id, self._attempt, self._message_id, turn.specialty, offset, text))

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        await self._send(StepShown(self._turn.turn_id, self._attempt, name, "started"))
        yield
        await self._send(StepShown(self._turn.turn_id, self._attempt, name, "finished"))

    @asynccontextmanager
    async def tool(self, call_id: str, name: str) -> AsyncIterator[None]:
        await self._send(ToolShown(self._turn.turn_id, self._attempt, call_id, name, "started"))
        yield
        await self._send(ToolShown(self._turn.turn_id, self._attempt, call_id, name, "finished"))

    async def _send(self, live: Live) -> None:
        if self._silent:
            return
        try:
            await self._bus.publish(self._subject, encode(live))
        except ParleyError as error:
            log("parley.specialist").info("live words lost", extra={"reason": error.message})


class Speech:
    """The words of one completion on their way to the customer, through a filter; `text` is what was shown of them.

    A completion that begins again (offset 0) begins with a `fresh` filter.
    """

    def __init__(self, voice: Voice, fresh: Callable[[], Shown]) -> None:
        self.text = ""
        self._voice = voice
        self._fresh = fresh
        self._filter = fresh()

    async def hear(self, offset: int, text: str) -> None:
        """More of the model's words; PermanentError `answer_too_long` ends the turn."""
        if offset == 0:
            self.text, self._filter = "", self._fresh()
        if offset + len(text) > LONGEST_ANSWER:
            raise PermanentError(f"The model says more than {LONGEST_ANSWER} characters.", code="answer_too_long")
        await self._show(self._filter.feed(text))

    async def end(self, more: str = "") -> None:
        """`more` in the model's stead, and what the filter has held back."""
        await self._show(self._filter.feed(more) + self._filter.end())

    async def _show(self, text: str) -> None:
        if text:
            await self._voice.say(len(self.text), text)
            self.text += text
