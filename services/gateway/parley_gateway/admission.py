"""Who is let in when there is more to do than can be done: running turns, then customers, then new chats. Pure.

The load of an instance is what it has accepted, or is about to, and has not seen answered (reliability.md, 'Overload').
Of that a part waits until a specialist has looked it up and works on it: how long, Little's law says (what waits, by
what is begun in a second). Whatever was accepted stays; only what comes next can be turned down.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Literal

import msgspec

from parley_proto.conversation import MessageShown, RunEnded, Shown

Standing = Literal["running", "waiting", "new"]
Why = Literal["full", "share", "stalled", "queue"]
# The last places are for those who are being answered: what they add mostly joins a turn that runs anyway.
WAITING_SHARE = 0.95
STALLED_SHARE = 0.1
FORGET_S = 900.0
_PACE_S = 5.0


class Unanswered(msgspec.Struct, frozen=True):
    conversation: str
    tenant: str
    since: float


class Pace:
    """How many messages were begun with in a second, lately."""

    def __init__(self) -> None:
        self._begun: deque[float] = deque()

    def note(self, now: float) -> None:
        self._begun.append(now)
        self._forget(now)

    def rate(self, now: float) -> float:
        self._forget(now)
        return len(self._begun) / _PACE_S

    def _forget(self, now: float) -> None:
        while self._begun and now - self._begun[0] > _PACE_S:
            self._begun.popleft()


class Patience(msgspec.Struct, frozen=True):
    """More messages than are begun with in `seconds` don't wait here, but `least` always may."""

    seconds: float
    least: int


class Admission:
    """The unanswered messages of this instance, `limit` at most, of which as many may wait for a specialist as
    `patience` allows. Times are monotonic seconds.

    New chats get `new_share` of the places, and only a tenth once nothing has been answered for `stall_s`. Past half
    of its share a message also needs its tenant to be within an equal part of it, so that one tenant can't keep the
    others out. A message that is never answered, say because it was known already, is forgotten after `FORGET_S`.
    """

    def __init__(self, limit: int, new_share: float, stall_s: float, patience: Patience) -> None:
        self._limit = limit
        self._patience = patience
        self._pace = Pace()
        self._waiting: set[str] = set()
        self._shares: dict[Standing, float] = {"running": 1.0, "waiting": WAITING_SHARE, "new": new_share}
        self._stall_s = stall_s
        self._unanswered: dict[str, Unanswered] = {}
        self._conversations: dict[str, list[str]] = {}
        self._tenants: Counter[str] = Counter()
        self._answered_at = 0.0

    def __len__(self) -> int:
        return len(self._unanswered)

    def __contains__(self, conversation: str) -> bool:
        """True while `conversation` waits for an answer."""
        return conversation in self._conversations

    def holds(self, message: str) -> bool:
        return message in self._unanswered

    def standing(self, conversation: str, *, begun: bool) -> Standing:
        if conversation in self:
            return "running"
        return "waiting" if begun else "new"

    def refusal(self, standing: Standing, tenant: str, now: float) -> Why | None:
        """Why one more message can't be taken, None when it can."""
        self._forget(now)
        taken, held = len(self), self._tenants[tenant]
        places = self._shares[standing] * self._limit
        if taken >= self._limit:
            return "full"
        if len(self._waiting) >= self._shares[standing] * self._may_wait(now):
            return "queue"
        if standing == "new" and self._stalled(now) and taken >= STALLED_SHARE * self._limit:
            return "stalled"
        if taken < places / 2:
            return None
        rivals = len(self._tenants) + (0 if held else 1)
        return "share" if held >= places / rivals else None

    def enter(self, message: str, conversation: str, tenant: str, now: float) -> None:
        """`message` has a place until it is answered or leaves."""
        self._unanswered[message] = Unanswered(conversation, tenant, now)
        self._waiting.add(message)
        self._conversations.setdefault(conversation, []).append(message)
        self._tenants[tenant] += 1

    def leave(self, message: str) -> None:
        gone = self._unanswered.pop(message, None)
        if gone is None:
            return
        self._waiting.discard(message)
        rest = self._conversations[gone.conversation]
        rest.remove(message)
        if not rest:
            self._conversations.pop(gone.conversation)
        self._tenants[gone.tenant] -= 1
        if not self._tenants[gone.tenant]:
            self._tenants.pop(gone.tenant)

    def begun(self, conversation: str, now: float) -> None:
        """Somebody works on what `conversation` has said."""
        for message in self._waiting.intersection(self._conversations.get(conversation, ())):
            self._waiting.remove(message)
            self._pace.note(now)

    def shown(self, conversation: str, entry: Shown, now: float) -> None:
        """A committed entry of `conversation`: whatever ends its wait with it leaves."""
        answers = entry.answers if isinstance(entry, MessageShown | RunEnded) else ()
        for message in [one for one in self._conversations.get(conversation, ()) if one in answers]:
            if message in self._waiting:
                self._pace.note(now)
            self.leave(message)
            self._answered_at = now

    def _may_wait(self, now: float) -> float:
        return max(self._patience.least, self._pace.rate(now) * self._patience.seconds)

    def _stalled(self, now: float) -> bool:
        """Nothing was answered for too long, and somebody has waited all that time."""
        oldest = next(iter(self._unanswered.values()), None)
        return oldest is not None and now - max(oldest.since, self._answered_at) > self._stall_s

    def _forget(self, now: float) -> None:
        # Oldest first: stop at the first that may still be answered.
        while self._unanswered:
            name, oldest = next(iter(self._unanswered.items()))
            if now - oldest.since <= FORGET_S:
                return
            self.leave(name)
