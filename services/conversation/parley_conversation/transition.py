"""What a decision may know, what comes of it, and the steps that it is made of. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from parley_conversation.deeds import Deeds
from parley_proto.broadcast import Notice
from parley_proto.conversation import (
    Checkpoint,
    MessageShown,
    NoticeShown,
    OpenTurn,
    OwnerChanged,
    Shown,
    reply_id,
)
from parley_proto.envelope import digest
from parley_proto.specialist import (
    AssignTurn,
    Burst,
    DeadLetter,
    HandoffSummary,
    Kind,
    Line,
    RouteHint,
    Step,
    TurnOpened,
    TurnRevoked,
)

# Begins the id of a customer's choice, which is put into words here. Each has its own: what one of them brought about
# is not what the next one asks for (parley_specialist.ledger.effect_key).
WISH = "wish-"


class Facts(msgspec.Struct, frozen=True):
    """What the decision may know beside state and entry: gathered by the handler, so that deciding stays pure.

    `seq` is the entry's stream sequence, `now` milliseconds, `turn_ms` the time a turn may take. `deeds` is what the
    open turn has done so far, where the entry could end it; `burst` the owner's way with messages during a turn.
    """

    conversation: str
    seq: int
    now: int
    turn_ms: int
    specialties: list[str]
    hint: RouteHint = RouteHint()
    notices: list[Notice] = []
    max_handoffs: int = 3
    burst: Burst = "merge"
    deeds: Deeds | None = None

    @property
    def acted(self) -> bool:
        """The open turn has done or begun something that can't be taken back."""
        return self.deeds is not None and self.deeds.any


class Transition(msgspec.Struct):
    """The next state and everything that leaves with it in one atomic batch.

    `revokes` is the sequence that the open turn's journal must still have, so that it can't act unseen.
    """

    state: Checkpoint
    shown: list[Shown] = msgspec.field(default_factory=list)
    steps: list[Step] = msgspec.field(default_factory=list)
    assign: AssignTurn | None = None
    revokes: int | None = None
    dead: DeadLetter | None = None

    def update(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)


def revoke(transition: Transition, reason: str, facts: Facts) -> None:
    """The open turn may not act any more, provided that it has not done so since its journal was read."""
    turn = transition.state.turn
    if turn:
        transition.steps.append(TurnRevoked(turn.turn_id, turn.epoch, reason, facts.now))
        transition.revokes = facts.deeds.seq if facts.deeds else None


def set_aside(
    transition: Transition, code: str, reason: str, lines: list[Line], facts: Facts, turn: OpenTurn | None
) -> None:
    """Leave a dead letter about `lines`, for a person; `turn` is where it came to that."""
    transition.dead = DeadLetter(
        dead_id="d" + digest(facts.conversation, str(facts.seq)),
        conversation=facts.conversation,
        code=code,
        reason=reason,
        at=facts.now,
        seq=facts.seq,
        specialty=turn.specialty if turn else transition.state.owner,
        turn_id=turn.turn_id if turn else "",
        messages=lines,
    )


def move(transition: Transition, owner: str, reason: str, facts: Facts, summary: HandoffSummary | None = None) -> None:
    """Give the conversation to another specialty, in an epoch of its own."""
    state = transition.state
    epoch = state.epoch + 1
    turn_id = state.turn.turn_id if state.turn else ""
    change = OwnerChanged(owner, state.owner, epoch, reason, facts.now, turn_id, summary)
    transition.shown.append(change)
    transition.update(owner=owner, epoch=epoch)


def open_turn(
    transition: Transition, lines: list[Line], facts: Facts, *, handoff: HandoffSummary | None = None, source: str = ""
) -> None:
    """Have the owner answer `lines`."""
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
        recap=state.recap,
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


def show_notices(transition: Transition, facts: Facts) -> None:
    """Show those that this customer has not seen."""
    seen = transition.state.notices_seen
    new = [notice for notice in facts.notices if notice.notice_id not in seen]
    transition.shown += [NoticeShown(notice.notice_id, notice.text, notice.severity, facts.now) for notice in new]
    transition.update(notices_seen=[*seen, *(notice.notice_id for notice in new)][-50:])


def say(
    transition: Transition,
    text: str,
    kind: Kind,
    about: str,
    facts: Facts,
    *,
    answers: Sequence[str] = (),
    turn_id: str = "",
    final: bool = True,
) -> None:
    """Words of Parley's own about `about`, which end the wait for the messages `answers`."""
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
        epoch=transition.state.epoch,
        answers=list(answers),
    )
    transition.shown.append(shown)
    transition.update(window=[*transition.state.window, line])


def sent_by_customer(lines: Sequence[Line]) -> list[str]:
    """The messages that the customer sent: a wish is put into words here."""
    return [line.message_id for line in lines if not is_wish(line)]


def is_wish(line: Line) -> bool:
    """Whether a line is a choice of the customer's rather than words that they sent."""
    return line.message_id.startswith(WISH)
