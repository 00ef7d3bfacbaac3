"""What a turn has done to the world so far, read from its journal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from parley_proto.specialist import EffectIntended, EffectSettled, EffectUnknown, Fact, Step

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
    intended: dict[str, EffectIntended] = {}
    settled: dict[str, EffectSettled] = {}
    for step in steps:
        if isinstance(step, EffectIntended):
            intended[step.key] = step
        elif isinstance(step, EffectSettled):
            settled[step.key] = step
        elif isinstance(step, EffectUnknown):
            settled.pop(step.key, None)
    done = [str(effect.result.get("summary", "")) for effect in settled.values() if effect.ok]
    return Deeds(seq, done, [intent for key, intent in intended.items() if key not in settled])


def unsettled(deeds: Deeds, message_ids: list[str]) -> list[Fact]:
    """What a person has to find out before anybody tries again, and what is certain."""
    open_ = [f"It is not known whether this was carried out: {_told(intent)}." for intent in deeds.open]
    return [Fact(text, message_ids) for text in [*open_, *deeds.done]]


def _told(intent: EffectIntended) -> str:
    arguments = ", ".join(f"{name} {value}" for name, value in intent.arguments.items())
    return f"{intent.tool} ({arguments[:_SHOWN_ARGUMENTS]}), key {intent.key}"
