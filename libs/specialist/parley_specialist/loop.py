"""The turn loop that all specialties share: retrieve, complete, tools, reply or handoff."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from parley_mesh.bus import Bus
from parley_mesh.cards import Directory
from parley_mesh.notices import NoticeBoard
from parley_mesh.telemetry import tracer
from parley_proto import subjects
from parley_proto.broadcast import Notice
from parley_proto.envelope import encode, new_id, now_ms
from parley_proto.errors import PermanentError
from parley_proto.llm import ChatMessage, CompletionRequest, ToolCall, ToolSpec
from parley_proto.rag import Passage
from parley_proto.specialist import (
    AskConsult,
    AssignTurn,
    ConsultAnswered,
    EscalationRequested,
    HandoffRequested,
    Line,
    Outcome,
    TurnAnswered,
    TurnDecided,
    Urgency,
)
from parley_specialist import metrics
from parley_specialist.addresses import hosts_of
from parley_specialist.calls import Caller, Reply, refusal, sound
from parley_specialist.clients import Completion, Consults, Knowledge, Model, consult_id
from parley_specialist.confidential import Secrets
from parley_specialist.ledger import UnknownOutcomeError
from parley_specialist.live import Speech, Voice
from parley_specialist.masking import masked
from parley_specialist.outcome import Done, asks, citations, kind_of, summary_of
from parley_specialist.prompt import CONSULT, ESCALATE, ESCALATION, HANDOFF, history, opening, query, secret, tool_specs
from parley_specialist.settings import Settings
from parley_specialist.shown import Policy, Shown
from parley_specialist.spec import Spec


class Deps(NamedTuple):
    """What the loop works with; every one of them can be replaced in a test."""

    bus: Bus
    model: Model
    knowledge: Knowledge
    consults: Consults
    caller: Caller
    directory: Directory
    board: NoticeBoard
    shards: int


class _Handoff(msgspec.Struct, forbid_unknown_fields=True):
    to: str
    reason: str = ""


class _Escalate(msgspec.Struct, forbid_unknown_fields=True):
    urgency: Urgency = "normal"
    reason: str = ""


class _Consult(msgspec.Struct, forbid_unknown_fields=True):
    specialty: str
    question: str


class Course(msgspec.Struct):
    """One attempt at one turn, as far as it has come. `chat` begins with its opening, of `opened` messages."""

    turn: AssignTurn
    attempt: int
    notices: list[Notice]
    passages: list[Passage]
    chat: list[ChatMessage]
    opened: int
    tools: list[ToolSpec]
    voice: Voice
    consulting: bool = False
    done: Done = msgspec.field(default_factory=Done)


class Loop:
    """Answers turns and consults of one specialty."""

    def __init__(self, spec: Spec, settings: Settings, deps: Deps) -> None:
        self._spec = spec
        self._settings = settings
        self._deps = deps
        self._policy = Policy(hosts_of(settings.answer_hosts), Secrets(secret(spec)))

    async def answer(self, turn: AssignTurn, attempt: int) -> Outcome:
        """How the turn ends. TransientError asks for another attempt, PermanentError ends it as failed."""
        # A first attempt finds nothing: asking the journal would only cost.
        decided = await self._deps.caller.decided(turn) if attempt > 1 else None
        course = await self._begin(turn, attempt, consulting=False)
        try:
            outcome = await self._resume(course, decided) if decided else None
            for _ in range(self._settings.max_rounds):
                outcome = outcome or await self._round(course)
                if outcome:
                    return outcome
        except UnknownOutcomeError as error:
            return self._to_a_person(course, error)
        raise PermanentError("The model went on calling tools without an answer.", code="tool_loop")

    async def _round(self, course: Course) -> Outcome | None:
        completion = await self._complete(course)
        return await self._carry_out(course, completion) if completion.calls else self._answered(course, completion)

    async def _resume(self, course: Course, decided: TurnDecided) -> Outcome | None:
        """Go on with the calls that an earlier attempt had decided on, rather than let the model decide again."""
        course.chat += decided.chat
        course.done = Done(list(decided.tools), list(decided.facts), decided.offer)
        last = max(number for number, message in enumerate(decided.chat) if message.tool_calls)
        answered = len(decided.chat) - last - 1
        return await self._call_all(course, decided.chat[last].tool_calls[answered:])

    async def consult(self, ask: AskConsult) -> ConsultAnswered:
        """The answer to another specialty's question: no side effects, no further consult, no handoff."""
        turn = _as_turn(ask)
        course = await self._begin(turn, 1, consulting=True)
        for _ in range(self._settings.max_rounds):
            completion = await self._complete(course)
            if not completion.calls:
                return self._consulted(ask, course, completion.text)
            await self._carry_out(course, completion)
        return self._consulted(ask, course, "")

    async def _begin(self, turn: AssignTurn, attempt: int, *, consulting: bool) -> Course:
        voice = Voice(self._deps.bus, turn, attempt, silent=consulting)
        board = {notice.notice_id: notice for notice in self._deps.board.in_force(self._spec.name)}
        notices = list(({notice.notice_id: notice for notice in turn.notices} | board).values())
        with tracer().start_as_current_span("specialist.retrieve"):
            async with voice.step("retrieve"):
                asked, before = masked(query(turn)), [masked(text) for text in history(turn)]
                passages = await self._deps.knowledge.search(asked, before, turn.identity, self._spec.name)
        chat = opening(self._spec, turn, notices, passages)
        tools = tool_specs(self._spec, self._deps.directory.cards(), consulting=consulting)
        return Course(turn, attempt, notices, passages or [], chat, len(chat), tools, voice, consulting)

    async def _complete(self, course: Course) -> Completion:
        turn, speech = course.turn, Speech(course.voice, lambda: Shown(self._policy))
        request = CompletionRequest(
            request_id=new_id("r"),
            tenant=turn.identity.tenant,
            conversation=turn.conversation,
            messages=course.chat,
            deadline_at=turn.deadline_at,
            tools=course.tools,
            tier=self._settings.tier,
            turn_id=turn.turn_id,
            epoch=turn.epoch,
        )
        finished = False
        try:
            with tracer().start_as_current_span("specialist.complete"):
                completion = await self._deps.model.complete(request, speech.hear)
            finished = True
        finally:
            if not finished:
                await self._deps.model.cancel(request.request_id)
        if completion.text.strip() and not completion.calls:
            await speech.end(_unasked(course.done, completion.text))
            completion.text = speech.text
        return completion

    async def _carry_out(self, course: Course, completion: Completion) -> Outcome | None:
        """Run the calls; the outcome, where one of them moves the conversation."""
        calls = sound(completion.calls)
        course.chat.append(ChatMessage("assistant", completion.text, tool_calls=calls))
        return await self._call_all(course, calls)

    async def _call_all(self, course: Course, calls: list[ToolCall]) -> Outcome | None:
        known = {tool.name for tool in course.tools}
        for call in calls:
            async with course.voice.tool(call.id, call.name if call.name in known else "tool"):
                result = await self._one(course, call)
            if isinstance(result, Outcome):
                return result
            course.chat.append(ChatMessage("tool", result.text(), tool_call_id=call.id, name=call.name))
        return None

    async def _one(self, course: Course, call: ToolCall) -> Reply | Outcome:
        if not course.consulting and call.name in (HANDOFF, ESCALATE, CONSULT):
            try:
                return await self._protocol(course, call)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                return refusal("bad_arguments", f"{call.name} can't be called so: {error}.")
        said = course.chat[course.opened :]
        return await self._deps.caller.call(call, course.turn, course.done, said, effects=not course.consulting)

    async def _protocol(self, course: Course, call: ToolCall) -> Reply | Outcome:
        others = {card.name for card in self._deps.directory.cards()} - {self._spec.name}
        if call.name == HANDOFF:
            wish = msgspec.json.decode(call.arguments, type=_Handoff)
            return self._handoff(course, wish) if wish.to in others else _nobody(wish.to)
        if call.name == ESCALATE:
            plea = msgspec.json.decode(call.arguments or "{}", type=_Escalate)
            return self._escalation(course, plea)
        question = msgspec.json.decode(call.arguments, type=_Consult)
        return await self._ask(course, question) if question.specialty in others else _nobody(question.specialty)

    def _handoff(self, course: Course, wish: _Handoff) -> Outcome:
        summary = summary_of(course.turn, course.done, wish.reason, self._policy)
        return HandoffRequested(**self._common(course), to=wish.to, summary=summary)

    def _escalation(self, course: Course, plea: _Escalate) -> Outcome:
        summary = summary_of(course.turn, course.done, plea.reason, self._policy)
        return EscalationRequested(**self._common(course), urgency=plea.urgency, summary=summary)

    def _to_a_person(self, course: Course, error: UnknownOutcomeError) -> Outcome:
        """Nobody here can tell whether it happened, and trying again could make it happen twice."""
        if self._spec.name == ESCALATION:
            raise error
        course.done.facts.append(error.message)
        return msgspec.structs.replace(self._escalation(course, _Escalate("high", error.message)), code=error.code)

    async def _ask(self, course: Course, question: _Consult) -> Reply:
        turn, name = course.turn, self._spec.name
        key = consult_id()
        ask = AskConsult(
            consult_id=key,
            turn_id=turn.turn_id,
            conversation=turn.conversation,
            identity=turn.identity,
            asker=name,
            specialty=question.specialty,
            question=masked(question.question[:2000]),
            deadline_at=min(turn.deadline_at, now_ms() + int(self._settings.consult_timeout_s * 1000)),
            reply_to=subjects.consult(name, key),
        )
        answered = await self._deps.consults.ask(ask)
        result = "answered" if answered.answer else (answered.code or "empty")
        metrics.CONSULTS.labels(name, question.specialty, result).inc()
        await self._deps.bus.append(
            subjects.conv(turn.conversation, self._deps.shards), encode(answered), msg_id=f"{key}-answer"
        )
        if not answered.answer:
            return refusal("no_answer", f"{question.specialty} did not answer in time; go on without and say so.")
        course.done.facts.append(f"{question.specialty} says: {answered.answer}")
        course.done.tools.append(CONSULT)
        return Reply(True, answered.answer, {"specialty": question.specialty})

    def _answered(self, course: Course, completion: Completion) -> Outcome:
        if not completion.text.strip() or completion.finished is None:
            raise PermanentError("The model gave an empty answer.", code="empty_answer")
        text, done = completion.text.strip(), course.done
        if done.offer and not asks(text, done.offer):
            done.offer = None
        cited = citations(text, course.passages, done, self._policy)
        return TurnAnswered(
            **self._common(course),
            text=text,
            kind=kind_of(text, cited, done),
            model=completion.finished.model,
            offline=completion.finished.offline,
            citations=cited,
            tools=done.tools,
            notices=[notice.notice_id for notice in course.notices],
            offer=done.offer,
        )

    def _consulted(self, ask: AskConsult, course: Course, text: str) -> ConsultAnswered:
        return ConsultAnswered(
            ask.consult_id,
            ask.turn_id,
            ask.asker,
            ask.specialty,
            ask.question,
            now_ms(),
            answer=text.strip(),
            code="" if text.strip() else "empty",
            citations=citations(text, course.passages, course.done, self._policy),
        )

    def _common(self, course: Course) -> dict[str, Any]:
        turn = course.turn
        return {
            "turn_id": turn.turn_id,
            "attempt": course.attempt,
            "epoch": turn.epoch,
            "specialty": self._spec.name,
            "at": now_ms(),
        }


def _unasked(done: Done, text: str) -> str:
    """The question of an offer, where the model has not asked it: a yes to other words would be no yes to this."""
    return f"\n\n{done.offer.question}" if done.offer and not asks(text, done.offer) else ""


def _nobody(name: str) -> Reply:
    return refusal("no_such_specialty", f"There is no specialty {name[:40]!r} to go to.")


def _as_turn(ask: AskConsult) -> AssignTurn:
    line = Line("customer", ask.question, ask.consult_id)
    return AssignTurn(
        turn_id=ask.turn_id,
        epoch=0,
        conversation=ask.conversation,
        identity=ask.identity,
        specialty=ask.specialty,
        messages=[line],
        window=[],
        deadline_at=ask.deadline_at,
    )
