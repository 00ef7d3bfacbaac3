"""What a turn asks of the mesh: knowledge, a model, another specialty. Each patient for its time and no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from parley_mesh.bus import Bus
from parley_mesh.patience import patient
from parley_mesh.telemetry import inject, log
from parley_proto import subjects
from parley_proto.envelope import DEADLINE, Identity, decode, encode, new_id, now_ms
from parley_proto.errors import ParleyError, PermanentError, TransientError
from parley_proto.llm import (
    CompletionEvent,
    CompletionRequest,
    Failed,
    Finished,
    StreamReset,
    TextDelta,
    ToolCall,
    ToolCalled,
)
from parley_proto.rag import Passage, SearchReply, SearchRequest
from parley_proto.specialist import AskConsult, ConsultAnswered

OnText = Callable[[int, str], Awaitable[None]]
SILENCE_S = 2.5
# The gateway drops a completion whose caller was not heard of for that long.
LEASE_S = 5.0
RENEW_S = 1.5
# Where no provider was asked, asking again later is no retry. All other failures the gateway has tried to mend
# itself: retries of two layers would multiply.
_NOT_ASKED = ("overloaded", "provider_resting", "lease_over", "internal")
SEARCH_ONCE_S = 2.0
QUERY_CHARACTERS = 2_000


class Completion:
    """A whole completion: its text or its tool calls."""

    def __init__(self) -> None:
        self.text = ""
        self.calls: list[ToolCall] = []
        self.finished: Finished | None = None


class Model:
    """Completions by the llm-gateway. A gateway that dies in mid-stream is asked again, from the start."""

    def __init__(self, bus: Bus, patience_s: float) -> None:
        self._bus = bus
        self._patience_s = patience_s

    async def complete(self, request: CompletionRequest, on_text: OnText) -> Completion:
        """The completion; `on_text(offset, text)` hears its words, from offset 0 again after a restart.

        TransientError when nobody answered for the patience, PermanentError when the request was refused.
        """
        until = time.monotonic() + self._patience_s
        pause = 0.1
        while True:
            try:
                return await self._once(request, on_text)
            except TransientError as error:
                left = min(until - time.monotonic(), (request.deadline_at - now_ms()) / 1000)
                if left <= pause:
                    raise
                log("parley.specialist").info("asking the model again", extra={"reason": error.message})
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)

    async def _once(self, request: CompletionRequest, on_text: OnText) -> Completion:
        result = Completion()
        headers = inject() | {DEADLINE: str(request.deadline_at)}
        asked = msgspec.structs.replace(request, lease_s=LEASE_S)
        stream = self._bus.stream(subjects.complete(request.tier), encode(asked), idle=SILENCE_S, headers=headers)
        renew_at = time.monotonic() + RENEW_S
        async for data in stream:
            event: CompletionEvent = decode(data, CompletionEvent)
            if time.monotonic() >= renew_at:
                renew_at = time.monotonic() + RENEW_S
                await self._bus.publish(subjects.renew(request.request_id), b"")
            match event:
                case TextDelta(text):
                    await on_text(len(result.text), text)
                    result.text += text
                case ToolCalled(call):
                    result.calls.append(call)
                case StreamReset():
                    result = Completion()
                case Finished():
                    result.finished = event
                case Failed(code, message):
                    raise (TransientError if code in _NOT_ASKED else PermanentError)(message, code=code)
        if result.finished is None:
            raise TransientError("The model's answer ended without a finish.", code="cut_short")
        return result

    async def cancel(self, request_id: str) -> None:
        """Tell the gateway that nobody waits for this completion any more."""
        try:
            await self._bus.publish(subjects.cancel(request_id), b"")
        except ParleyError as error:
            log("parley.specialist").info("cancel not sent", extra={"reason": error.message})


class Knowledge:
    """Passages for a question; None when rag did not answer in time, so that the turn can say so.

    `searched` hears how many seconds an answer took.
    """

    def __init__(
        self, bus: Bus, timeout_s: float, limit: int, searched: Callable[[float], None] = lambda _seconds: None
    ) -> None:
        self._bus = bus
        self._timeout_s = timeout_s
        self._limit = limit
        self._searched = searched

    async def search(
        self, question: str, history: Sequence[str], identity: Identity, specialty: str
    ) -> list[Passage] | None:
        """`history` holds the customer's turns before this one, oldest first."""
        request = encode(
            SearchRequest(
                question[:QUERY_CHARACTERS],
                identity.tenant,
                specialty,
                self._limit,
                history=[turn[:QUERY_CHARACTERS] for turn in history],
                groups=identity.groups,
            )
        )
        asked_at = time.monotonic()
        try:
            async for attempt in patient(self._timeout_s):
                with attempt:
                    until = now_ms() + round(SEARCH_ONCE_S * 1000)
                    headers = inject() | {DEADLINE: str(until)}
                    data = await self._bus.request(subjects.RAG_SEARCH, request, timeout=SEARCH_ONCE_S, headers=headers)
            reply: SearchReply = decode(data, SearchReply)
        except ParleyError as error:
            log("parley.specialist").warning("no knowledge", extra={"code": error.code, "reason": error.message})
            return None
        self._searched(time.monotonic() - asked_at)
        return reply.passages


class Consults:
    """Asks another specialty without moving ownership; no answer in time is an answer."""

    def __init__(self, bus: Bus, asker: str, timeout_s: float) -> None:
        self._bus = bus
        self._asker = asker
        self._timeout_s = timeout_s

    async def ask(self, draft: AskConsult) -> ConsultAnswered:
        """The answer, or one with `code` no_answer; either way the asker goes on."""
        answers: asyncio.Queue[ConsultAnswered] = asyncio.Queue()

        async def collect(_subject: str, data: bytes, _headers: dict[str, str]) -> None:
            answers.put_nowait(decode(data, ConsultAnswered))

        listening = await self._bus.listen(draft.reply_to, collect)
        try:
            subject = subjects.turn(draft.specialty, subjects.TRACK, "consult")
            await self._bus.append(subject, encode(draft), msg_id=draft.consult_id, headers=inject())
            async with asyncio.timeout(min(self._timeout_s, (draft.deadline_at - now_ms()) / 1000)):
                return await answers.get()
        except TimeoutError:
            return self._unanswered(draft)
        finally:
            await listening.close()

    def _unanswered(self, draft: AskConsult) -> ConsultAnswered:
        return ConsultAnswered(
            draft.consult_id,
            draft.turn_id,
            draft.asker,
            draft.specialty,
            draft.question,
            now_ms(),
            code="no_answer",
        )


def consult_id() -> str:
    return new_id("q")
