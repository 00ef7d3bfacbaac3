"""Summaries of long conversations by a model, in the background: no turn waits for one, and none is needed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from parley_conversation import metrics
from parley_conversation.recap import to_summarise
from parley_conversation.settings import Settings
from parley_mesh.bus import Bus
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_proto import subjects
from parley_proto.conversation import Checkpoint, SummaryWritten
from parley_proto.envelope import digest, encode, new_id, now_ms
from parley_proto.errors import ParleyError
from parley_proto.llm import ChatMessage, CompletionRequest
from parley_proto.specialist import Fact, Line, Summary
from parley_recap.asking import INSTRUCTIONS, RESPONSE_FORMAT, answer_in, asked, grounded
from parley_recap.bounds import bounded
from parley_specialist.clients import Model
from parley_specialist.quarantine import words
from parley_specialist.unexpected import without_its_text

LONGEST_LINE = 8_000
MOST_TOKENS = 2_000
MOST_TRIED = 10_000


class Summaries:
    """Asks for the summary of whatever is past its budget: one at a time a conversation, few at once in all."""

    def __init__(self, settings: Settings, bus: Bus, model: Model, shards: int) -> None:
        self._settings = settings
        self._bus = bus
        self._model = model
        self._shards = shards
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tried: OrderedDict[str, str] = OrderedDict()
        self._ended = False

    @property
    def running(self) -> int:
        return len(self._running)

    def consider(self, state: Checkpoint) -> None:
        """Begin a summary if the window of `state` is past its budget, and has grown since the last attempt."""
        conversation = state.conversation
        if self._ended or conversation in self._running or self.running >= self._settings.summaries_at_once:
            return
        lines = to_summarise(state, self._settings.window_tokens)
        if lines and self._tried.get(conversation) != lines[-1].message_id:
            self._remember(conversation, lines[-1].message_id)
            task = asyncio.create_task(self._summarise(state, lines))
            self._running[conversation] = task
            task.add_done_callback(lambda _task: self._running.pop(conversation))

    async def end(self) -> None:
        """Give up what runs: the next owner begins again, and meanwhile the rules keep what leaves the window."""
        self._ended = True
        await end(*self._running.values())

    def _remember(self, conversation: str, upto: str) -> None:
        self._tried[conversation] = upto
        self._tried.move_to_end(conversation)
        while len(self._tried) > MOST_TRIED:
            self._tried.popitem(last=False)

    async def _summarise(self, state: Checkpoint, lines: list[Line]) -> None:
        try:
            with without_its_text():
                written = SummaryWritten(lines[-1].message_id, await self._asked(state, lines), now_ms())
                await self._append(state.conversation, written)
        except (ParleyError, TimeoutError) as error:
            metrics.SUMMARIES.labels("failed").inc()
            log("parley.conversation").warning("no summary", extra={"reason": str(error)})
        else:
            metrics.SUMMARIES.labels("written").inc()
            log("parley.conversation").info("summary", extra={"lines": len(lines)})

    async def _asked(self, state: Checkpoint, lines: list[Line]) -> Summary:
        """The model's summary, as far as it rests on the conversation. ParleyError where there is none."""
        request = _request(state, lines, int(self._settings.summary_timeout_s * 1000))
        finished = False
        try:
            completion = await self._model.complete(request, _unheard)
            finished = True
        finally:
            if not finished:
                await self._model.cancel(request.request_id)
        return bounded(grounded(answer_in(completion.text), state.recap, lines))

    async def _append(self, conversation: str, written: SummaryWritten) -> None:
        subject, message_id = subjects.conv(conversation, self._shards), digest(conversation, written.upto)
        await self._bus.append(subject, encode(written), msg_id=message_id)


def _request(state: Checkpoint, lines: Sequence[Line], patience_ms: int) -> CompletionRequest:
    """Everything that customers had a part in is data in one message, masked and made fit as for a specialist."""
    recap = Summary(_fit(state.recap.facts), _fit(state.recap.promises), _fit(state.recap.open_questions))
    quoted = asked(recap, [msgspec.structs.replace(line, text=words(line.text, LONGEST_LINE)) for line in lines])
    return CompletionRequest(
        request_id=new_id("r"),
        tenant=state.identity.tenant,
        conversation=state.conversation,
        messages=[ChatMessage("system", INSTRUCTIONS), ChatMessage("user", encode(quoted).decode())],
        deadline_at=now_ms() + patience_ms,
        tier="fast",
        max_tokens=MOST_TOKENS,
        response_format=RESPONSE_FORMAT,
    )


def _fit(notes: Sequence[Fact]) -> list[Fact]:
    return [Fact(words(note.text), note.message_ids) for note in notes]


async def _unheard(_offset: int, _text: str) -> None:
    """Nobody waits for the words of a summary one by one."""
