"""What a turn has done to the world so far, read from its journal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from parley_proto.specialist import Effect, EffectIntended, EffectSettled, Fact, Step

_SHOWN_ARGUMENTS = 200


class Deeds(msgspec.Struct, frozen=True):
    """`seq` is the journal's last sequence: a revocation must follow it, or somebody has acted since.

    `done` are the sentences of effects that happened; `open` the intents whose outcome nobody knows.
    """

    seq: int
    done: list[str] = []
    open: list[EffectIntended] = []

    @property
    def any(self) -> bool:
        return bool(self.done or self.open)


def deeds_of(steps: Sequence[Step], seq: int) -> Deeds:
    """The deeds that the steps of one turn tell of; a refused effect is none."""
    intended = {step.key: step for step in steps if isinstance(step, EffectIntended)}
    newest = {step.key: step for step in steps if isinstance(step, Effect)}
    settled = {key: effect for key, effect in newest.items() if isinstance(effect, EffectSettled)}
    done = [str(effect.result.get("summary", "")) for effect in settled.values() if effect.ok]
    return Deeds(seq, done, [intent for key, intent in intended.items() if key not in settled])


def unsettled(deeds: Deeds, message_ids: list[str]) -> list[Fact]:
    """What a person has to find out before anybody tries again, and what is certain."""
    return [Fact(text, message_ids) for text in [*_doubts(deeds), *deeds.done]]


def in_doubt(deeds: Deeds) -> str:
    """What a person has to find out, as the reason of a dead letter; empty where nothing is open."""
    return " ".join(_doubts(deeds))


def _doubts(deeds: Deeds) -> list[str]:
    return [f"It is not known whether this was carried out: {_told(intent)}." for intent in deeds.open]


def _told(intent: EffectIntended) -> str:
    arguments = ", ".join(f"{name} {value}" for name, value in intent.arguments.items())
    return f"{intent.tool} ({arguments[:_SHOWN_ARGUMENTS]}), key {intent.key}"
