"""What must hold of every history, read from the log and from the company's books. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Set

import msgspec

from parley_mesh.bus import Stored
from parley_proto.conversation import CustomerMessage, Entry, MessageShown, OwnerChanged, RunEnded, Shown
from parley_proto.envelope import decode
from parley_proto.errors import UNKNOWN_OUTCOME
from parley_proto.specialist import (
    DeadLetter,
    Effect,
    EffectIntended,
    EffectSettled,
    EffectUnknown,
    Step,
    TurnAnswered,
    TurnRevoked,
)

# Why a turn ends that a customer takes away, rather than that it comes to nothing.
BY_CUSTOMERS = ("cancelled", "interrupted", "customer_choice")
# Words about a message that no turn will answer.
WHY_NOT = ("failed", "refused")


class Broken(AssertionError):
    """A promise of design.md was broken."""


def hold(promise: str, *what: object, if_: bool) -> None:
    if not if_:
        raise Broken(f"{promise}: {what}")


class Conversation(msgspec.Struct):
    """One conversation, as far as its history has been read; `shown_to` is the sequence of what was shown last."""

    accepted: dict[str, CustomerMessage] = {}
    outcomes: dict[str, list[str]] = {}
    echoed: list[str] = []
    answered: list[str] = []
    said: list[str] = []
    owners: list[tuple[int, str]] = []
    told_why_not: set[str] = set()
    shown_to: int = 0

    def order(self, ids: list[str]) -> list[int]:
        known = list(self.accepted)
        return [known.index(name) for name in ids if name in self.accepted]


class History:
    """Takes in the log message by message, and raises `Broken` at the first that breaks a promise."""

    def __init__(self) -> None:
        self._conversations: defaultdict[str, Conversation] = defaultdict(Conversation)
        self._revoked: set[str] = set()
        self._begun: defaultdict[str, set[str]] = defaultdict(set)
        self._effects: dict[str, Effect] = {}
        self._payments: dict[str, str] = {}
        self._dead: list[DeadLetter] = []

    @property
    def conversations(self) -> Mapping[str, Conversation]:
        return self._conversations

    def take_in(self, stored: Stored) -> None:
        kind, *tokens = stored.subject.split(".")
        if kind == "conv":
            self._entry(self._conversations[tokens[1]], decode(stored.data, Entry))
        elif kind == "out":
            conversation = self._conversations[tokens[0]]
            conversation.shown_to = stored.seq
            self._shown(conversation, decode(stored.data, Shown))
        elif kind == "step":
            self._step(decode(stored.data, Step))
        elif kind == "effect":
            self._effect(decode(stored.data, Effect))
        elif kind == "dead":
            self._dead.append(decode(stored.data, DeadLetter))

    def check_effects(self, refunds: Counter[str]) -> None:
        hold("a side effect happens once", refunds, if_=all(count == 1 for count in refunds.values()))
        hold("a side effect is intended first", refunds, if_=set(refunds) <= set(self._payments.values()))
        for key, effect in self._effects.items():
            done = refunds[self._payments[key]]
            if isinstance(effect, EffectSettled):
                hold("what the ledger says is what happened", effect, done, if_=effect.ok == bool(done))

    def check_all_answered(self, taken: Set[str]) -> None:
        """Once everything has healed: exactly one answer, or an honest word why not, to all that the gateway took."""
        logged = {name for conversation in self._conversations.values() for name in conversation.accepted}
        hold("what the gateway has acknowledged is in the log", taken - logged, if_=taken <= logged)
        for name, conversation in list(self._conversations.items()):
            missing = self.waiting(name)
            hold("what is accepted is answered", name, missing, if_=not missing)
            unseen = [one for one in conversation.accepted if one not in conversation.echoed]
            hold("what is accepted is shown", name, unseen, if_=not unseen)

    def check_all_known(self) -> None:
        """Once everything has healed: what may have happened is with a person, who can find it by its key."""
        reasons = [letter.reason for letter in self._dead if letter.code == UNKNOWN_OUTCOME]
        for key, effect in self._effects.items():
            known = not isinstance(effect, EffectUnknown) or any(key in reason for reason in reasons)
            hold("what nobody knows the outcome of is with a person", effect, reasons, if_=known)

    def waiting(self, name: str) -> list[str]:
        """The messages of a conversation that have no answer yet."""
        conversation = self._conversations[name]
        return [one for one in conversation.accepted if one not in conversation.answered]

    def _entry(self, conversation: Conversation, entry: Entry) -> None:
        if isinstance(entry, CustomerMessage):
            conversation.accepted.setdefault(entry.message_id, entry)
        elif isinstance(entry, TurnAnswered):
            conversation.outcomes.setdefault(entry.turn_id, []).append(entry.text)

    def _shown(self, conversation: Conversation, shown: Shown) -> None:
        if isinstance(shown, MessageShown) and shown.role == "customer":
            self._echo(conversation, shown)
        elif isinstance(shown, MessageShown):
            self._words(conversation, shown)
        elif isinstance(shown, RunEnded):
            self._answer(conversation, shown.answers)
        elif isinstance(shown, OwnerChanged):
            self._owner(conversation, shown)

    def _echo(self, conversation: Conversation, shown: MessageShown) -> None:
        name = shown.message_id
        hold("nothing is shown that was not said", shown, if_=name in conversation.accepted)
        hold("a message is shown once", shown, if_=name not in conversation.echoed)
        hold("the words are the customer's first", shown, if_=shown.text == conversation.accepted[name].text)
        conversation.echoed.append(name)
        order = conversation.order(conversation.echoed)
        hold("messages are shown in the order in which they were accepted", shown, if_=order == sorted(order))

    def _words(self, conversation: Conversation, shown: MessageShown) -> None:
        hold("an answer is shown once", shown, if_=shown.message_id not in conversation.said)
        conversation.said.append(shown.message_id)
        if shown.turn_id and shown.kind != "failed":
            outcomes = conversation.outcomes.get(shown.turn_id, [])
            hold("what is shown was committed before", shown, if_=shown.text in outcomes)
        newest = conversation.owners[-1][0] if conversation.owners else 0
        hold("who answers is who owns", shown, conversation.owners, if_=shown.epoch in (newest, 0))
        if not shown.turn_id and shown.kind in WHY_NOT:
            conversation.told_why_not |= set(shown.answers)
        self._answer(conversation, shown.answers)

    def _answer(self, conversation: Conversation, answers: list[str]) -> None:
        for name in [one for one in answers if one in conversation.accepted]:
            hold("a message is answered once", name, if_=name not in conversation.answered)
            conversation.answered.append(name)
        # Who is told why there will be no answer hears it at once, whatever is being answered meanwhile.
        order = conversation.order([one for one in conversation.answered if one not in conversation.told_why_not])
        hold("answers come in the order of the messages", answers, order, if_=order == sorted(order))

    def _owner(self, conversation: Conversation, change: OwnerChanged) -> None:
        newest = conversation.owners[-1][0] if conversation.owners else 0
        hold("epochs rise one by one, each with one owner", change, newest, if_=change.epoch == newest + 1)
        conversation.owners.append((change.epoch, change.owner))

    def _effect(self, effect: Effect) -> None:
        if isinstance(effect, EffectIntended):
            self._payments[effect.key] = effect.arguments["payment_id"]
        self._effects[effect.key] = effect

    def _step(self, step: Step) -> None:
        begun = self._begun[step.turn_id]
        if isinstance(step, TurnRevoked):
            self._revoked.add(step.turn_id)
            hold(
                "what a turn has begun is not taken away", step, begun, if_=step.reason not in BY_CUSTOMERS or not begun
            )
        elif isinstance(step, EffectIntended):
            hold("who has lost the conversation begins nothing", step, if_=step.turn_id not in self._revoked)
            begun.add(step.key)
        elif isinstance(step, EffectSettled) and not step.ok:
            begun.discard(step.key)
