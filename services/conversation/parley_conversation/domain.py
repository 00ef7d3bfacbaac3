"""A conversation is a fold over its log: `decide(state, entry, facts)` says what comes next. Pure; no I/O."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from parley_conversation import texts
from parley_proto.broadcast import Notice
from parley_proto.conversation import (
    CancelRequested,
    Checkpoint,
    CustomerMessage,
    Entry,
    MessageShown,
    NoticeShown,
    OpenTurn,
    OwnerChanged,
    PersonRequested,
    RunEnded,
    Shown,
    TurnDue,
    reply_id,
)
from parley_proto.envelope import digest
from parley_proto.specialist import (
    AssignTurn,
    EscalationRequested,
    Fact,
    HandoffRequested,
    HandoffSummary,
    Kind,
    Line,
    Outcome,
    RouteHint,
    Step,
    TurnAnswered,
    TurnFailed,
    TurnOpened,
    TurnRevoked,
)

ESCALATION = "escalation"
WINDOW_BYTES = 8_000
WINDOW_LINES = 30
WINDOW_LINE = 2_000
QUEUE_BYTES = 8_000
RECENT_IDS = 64
MAX_ASK_BACKS = 2


class Facts(msgspec.Struct, frozen=True):
    """What the decision may know beside state and entry: gathered by the handler, so that deciding stays pure.

    `seq` is the entry's stream sequence, `now` milliseconds, `turn_ms` the time a turn may take.
    """

    conversation: str
    seq: int
    now: int
    turn_ms: int
    specialties: list[str]
    hint: RouteHint = RouteHint()
    notices: list[Notice] = []
    max_handoffs: int = 3


class Transition(msgspec.Struct):
    """The next state and everything that leaves with it in one atomic batch."""

    state: Checkpoint
    shown: list[Shown] = msgspec.field(default_factory=list)
    steps: list[Step] = msgspec.field(default_factory=list)
    assign: AssignTurn | None = None

    def update(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)


def decide(state: Checkpoint | None, entry: Entry, facts: Facts) -> Transition | None:
    """The transition that `entry` causes, or None where it changes nothing (a repeat, a late outcome, a record)."""
    rule = _RULES.get(type(entry))
    if rule is None or (state is None and not isinstance(entry, CustomerMessage | PersonRequested)):
        return None
    transition = rule(state, entry, facts)
    if transition is None:
        return None
    transition.update(last_in_seq=facts.seq, updated_at=facts.now)
    return transition


def route_text(state: Checkpoint | None, entry: Entry) -> str:
    """The words that decide about the specialty: the message, and what was asked back about before it."""
    if not isinstance(entry, CustomerMessage):
        return ""
    unanswered = [line.text for line in state.window if line.role == "customer"] if state and not state.owner else []
    return "\n".join([*unanswered[-2:], entry.text])


def _opened(entry: CustomerMessage | PersonRequested, facts: Facts) -> Checkpoint:
    return Checkpoint(conversation=facts.conversation, identity=entry.identity, opened_at=facts.now)


def _customer_message(state: Checkpoint | None, entry: CustomerMessage, facts: Facts) -> Transition | None:
    state = state or _opened(entry, facts)
    if not _same_customer(state, entry):
        return None
    if entry.message_id in state.recent:
        return _repeated(state, entry, facts)
    transition = Transition(state)
    line = Line("customer", entry.text, entry.message_id, at=entry.at)
    echo = MessageShown(entry.message_id, "customer", entry.text, entry.at, client_id=entry.client_id)
    transition.shown.append(echo)
    transition.update(recent=_remember(state.recent, entry), window=_window([*state.window, line]))
    _show_notices(transition, facts)
    if state.turn is None:
        _answer(transition, [line], facts)
    elif _size([*state.queue, line]) > QUEUE_BYTES:
        _say(transition, texts.BUSY, "refused", entry.message_id, facts, final=False)
    else:
        transition.update(queue=[*state.queue, line])
    return transition


def _repeated(state: Checkpoint, entry: CustomerMessage, facts: Facts) -> Transition | None:
    """A resend beyond the log's own window: nothing for the same words, a refusal for others under the same id."""
    if state.recent[entry.message_id] == entry.body_hash:
        return None
    transition = Transition(state)
    _say(transition, texts.REUSED, "refused", f"{entry.message_id}/{facts.seq}", facts, final=state.turn is None)
    return transition


def dead_letter(state: Checkpoint | None, entry: Entry, facts: Facts) -> Transition | None:
    """Set aside an entry that can't be handled, so that the conversation goes on, and tell the customer."""
    if state is None and not isinstance(entry, CustomerMessage | PersonRequested):
        return None
    known = state or _opened(entry, facts)  # type: ignore[arg-type]
    transition = Transition(known)
    if isinstance(entry, CustomerMessage):
        about = entry.message_id
        transition.update(recent=_remember(known.recent, entry))
        _say(transition, texts.failure("dead_letter"), "failed", about, facts, final=known.turn is None)
    transition.update(last_in_seq=facts.seq, updated_at=facts.now)
    return transition


def _same_customer(state: Checkpoint, entry: CustomerMessage | PersonRequested | CancelRequested) -> bool:
    mine, theirs = state.identity, entry.identity
    return (mine.tenant, mine.principal) == (theirs.tenant, theirs.principal)


def _remember(recent: dict[str, str], entry: CustomerMessage) -> dict[str, str]:
    """The newest ids with their body's hash: what must hold beyond the log's duplicate window (design.md)."""
    kept = list(recent.items())[-(RECENT_IDS - 1) :]
    return dict(kept) | {entry.message_id: entry.body_hash}


def _answer(transition: Transition, lines: list[Line], facts: Facts) -> None:
    """Open a turn with the owner, choose one first, or ask back when nobody can tell."""
    state = transition.state
    owner = state.owner or _choose(state, facts)
    if not owner:
        transition.update(asked_back=state.asked_back + 1)
        question = texts.ask_back(facts.specialties) if facts.specialties else texts.failure("no_receiver")
        _say(transition, question, "asked" if facts.specialties else "failed", lines[-1].message_id, facts)
        return
    if owner != state.owner:
        _move(transition, owner, "routed", facts)
    _open_turn(transition, lines, facts)


def _choose(state: Checkpoint, facts: Facts) -> str:
    if facts.hint.specialty in facts.specialties:
        return facts.hint.specialty
    return ESCALATION if state.asked_back >= MAX_ASK_BACKS and ESCALATION in facts.specialties else ""


def _move(transition: Transition, owner: str, reason: str, facts: Facts, summary: HandoffSummary | None = None) -> None:
    state = transition.state
    epoch = state.epoch + 1
    turn_id = state.turn.turn_id if state.turn else ""
    change = OwnerChanged(owner, state.owner, epoch, reason, facts.now, turn_id, summary)
    transition.shown.append(change)
    transition.update(owner=owner, epoch=epoch)


def _open_turn(
    transition: Transition, lines: list[Line], facts: Facts, *, handoff: HandoffSummary | None = None, source: str = ""
) -> None:
    state = transition.state
    turn_id = "t" + digest(facts.conversation, str(facts.seq), str(state.epoch))
    deadline = facts.now + facts.turn_ms
    turn = OpenTurn(turn_id, state.epoch, state.owner, facts.now, deadline, lines)
    ids = {line.message_id for line in lines}
    transition.assign = AssignTurn(
        turn_id=turn_id,
        epoch=state.epoch,
        conversation=facts.conversation,
        identity=state.identity,
        specialty=state.owner,
        messages=lines,
        window=[line for line in state.window if line.message_id not in ids],
        summary=state.summary,
        deadline_at=deadline,
        handoff=handoff,
        handed_from=source,
        handoffs=state.handoffs,
        offer=state.offer,
        hint=facts.hint,
        notices=[notice for notice in facts.notices if notice.in_force(facts.now, state.owner)],
    )
    transition.steps.append(TurnOpened(turn_id, state.epoch, state.owner, facts.now))
    transition.update(turn=turn, offer=None)


def _turn_answered(state: Checkpoint, entry: TurnAnswered, facts: Facts) -> Transition | None:
    if not _is_open(state, entry):
        return None
    transition = Transition(state)
    reply = reply_id(entry.turn_id)
    shown = MessageShown(
        reply,
        "assistant",
        entry.text,
        facts.now,
        turn_id=entry.turn_id,
        specialty=entry.specialty,
        kind=entry.kind,
        model=entry.model,
        offline=entry.offline,
        citations=entry.citations,
        final=True,
    )
    transition.shown.append(shown)
    line = Line("assistant", entry.text[:WINDOW_LINE], reply, entry.specialty, facts.now)
    transition.update(
        turn=None, offer=entry.offer, turns=state.turns + 1, handoffs=0, window=_window([*state.window, line])
    )
    _next_turn(transition, facts)
    return transition


def _handoff_requested(state: Checkpoint, entry: HandoffRequested, facts: Facts) -> Transition | None:
    if not _is_open(state, entry) or state.turn is None:
        return None
    to, reason = entry.to, "handoff"
    if to not in facts.specialties or state.handoffs >= facts.max_handoffs:
        # A loop of handoffs, or one to nobody, ends with people (design.md, 'The four protocols').
        to, reason = ESCALATION, "handoff_limit"
    return _hand_over(state, to, reason, entry.summary, facts)


def _escalation_requested(state: Checkpoint, entry: EscalationRequested, facts: Facts) -> Transition | None:
    if not _is_open(state, entry) or state.turn is None:
        return None
    return _hand_over(state, ESCALATION, "escalated", entry.summary, facts)


def _hand_over(state: Checkpoint, to: str, reason: str, summary: HandoffSummary, facts: Facts) -> Transition | None:
    if state.turn is None:
        return None
    if to == state.owner or to not in facts.specialties:
        return _failed(state, "no_receiver", facts)
    transition = Transition(state)
    turn, source = state.turn, state.owner
    transition.steps.append(TurnRevoked(turn.turn_id, turn.epoch, reason, facts.now))
    _move(transition, to, reason, facts, summary)
    transition.update(handoffs=state.handoffs + 1, escalated=state.escalated or to == ESCALATION)
    _open_turn(transition, turn.messages, facts, handoff=summary, source=source)
    return transition


def _person_requested(state: Checkpoint | None, entry: PersonRequested, facts: Facts) -> Transition | None:
    state = state or _opened(entry, facts)
    to = entry.to
    if not _same_customer(state, entry) or to not in facts.specialties or state.owner == to:
        return None
    transition = Transition(state)
    wish = Line("customer", texts.WANTS.get(to, texts.wants(to)), digest(facts.conversation, "wish"))
    waiting = [*(state.turn.messages if state.turn else []), *state.queue]
    # The newest wish takes the place of the last one: a customer who clicks to and fro must not make the turn grow.
    waiting = [*(line for line in waiting if line.message_id != wish.message_id), wish]
    if state.turn:
        transition.steps.append(TurnRevoked(state.turn.turn_id, state.turn.epoch, "customer_choice", facts.now))
    summary = HandoffSummary("The customer asked for it.", [Fact(line.text, [line.message_id]) for line in waiting])
    _move(transition, to, "customer_choice", facts, summary)
    transition.update(queue=[], escalated=state.escalated or to == ESCALATION)
    _open_turn(transition, waiting, facts, handoff=summary, source=state.owner)
    return transition


def _turn_failed(state: Checkpoint, entry: TurnFailed, facts: Facts) -> Transition | None:
    return _failed(state, entry.code, facts) if _is_open(state, entry) else None


def _turn_due(state: Checkpoint, entry: TurnDue, facts: Facts) -> Transition | None:
    turn = state.turn
    if turn is None or (turn.turn_id, turn.epoch) != (entry.turn_id, entry.epoch):
        return None
    return _failed(state, "deadline", facts)


def _failed(state: Checkpoint, code: str, facts: Facts) -> Transition | None:
    turn = state.turn
    if turn is None:
        return None
    transition = Transition(state)
    transition.steps.append(TurnRevoked(turn.turn_id, turn.epoch, code, facts.now))
    transition.update(turn=None, handoffs=0)
    _say(transition, texts.failure(code), "failed", turn.messages[-1].message_id, facts, turn_id=turn.turn_id)
    _next_turn(transition, facts)
    return transition


def _cancel_requested(state: Checkpoint, entry: CancelRequested, facts: Facts) -> Transition | None:
    turn = state.turn
    if turn is None or not _same_customer(state, entry):
        return None
    transition = Transition(state)
    transition.steps.append(TurnRevoked(turn.turn_id, turn.epoch, "cancelled", facts.now))
    transition.shown.append(RunEnded(turn.turn_id, "cancelled", facts.now))
    transition.update(turn=None, handoffs=0)
    _next_turn(transition, facts)
    return transition


def _next_turn(transition: Transition, facts: Facts) -> None:
    """What waited during the turn is answered together. It was said before the offer, so it can't be a yes to it."""
    waiting = transition.state.queue
    if waiting:
        transition.update(queue=[], offer=None)
        _answer(transition, waiting, facts)


def _is_open(state: Checkpoint, outcome: Outcome) -> bool:
    """Only the first outcome of the open turn counts; a zombie's epoch is an old one."""
    turn = state.turn
    return turn is not None and (turn.turn_id, turn.epoch) == (outcome.turn_id, outcome.epoch)


def _show_notices(transition: Transition, facts: Facts) -> None:
    seen = transition.state.notices_seen
    new = [notice for notice in facts.notices if notice.notice_id not in seen]
    transition.shown += [NoticeShown(notice.notice_id, notice.text, notice.severity, facts.now) for notice in new]
    transition.update(notices_seen=[*seen, *(notice.notice_id for notice in new)][-50:])


def _say(
    transition: Transition,
    text: str,
    kind: Kind,
    about: str,
    facts: Facts,
    *,
    turn_id: str = "",
    final: bool = True,
) -> None:
    """Words of Parley's own, answering message `about`."""
    message_id = reply_id(turn_id) if turn_id else digest(facts.conversation, about, "own")
    line = Line("assistant", text, message_id, at=facts.now)
    shown = MessageShown(
        message_id,
        "assistant",
        text,
        facts.now,
        turn_id=turn_id,
        kind=kind,
        final=final,
    )
    transition.shown.append(shown)
    transition.update(window=_window([*transition.state.window, line]))


def _window(lines: list[Line]) -> list[Line]:
    """The newest lines within the budget: a checkpoint stays at 32 KB or less."""
    kept = lines[-WINDOW_LINES:]
    while len(kept) > 1 and _size(kept) > WINDOW_BYTES:
        kept = kept[1:]
    return kept


def _size(lines: list[Line]) -> int:
    return sum(len(line.text.encode()) for line in lines)


_RULES: dict[type, Callable[..., Transition | None]] = {
    CustomerMessage: _customer_message,
    PersonRequested: _person_requested,
    CancelRequested: _cancel_requested,
    TurnAnswered: _turn_answered,
    HandoffRequested: _handoff_requested,
    EscalationRequested: _escalation_requested,
    TurnFailed: _turn_failed,
    TurnDue: _turn_due,
}
