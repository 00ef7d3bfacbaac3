"""SIGKILL in the midst of a refund, again and again: a third party that honours idempotency keys has exactly one refund
a payment, one that forgets them at most one, and what nobody knows the end of is with a person.

PARLEY_FAULT_KILLS says how often it strikes (4; `make faults`: 100).
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from forgetful_party import Moment, ThirdParty

from parley_cli.client import Answer, Conversation, Door, door
from parley_cli.operator import connected
from parley_mesh.bus import Stored
from parley_mesh.jetstream import NatsBus
from parley_proto.envelope import decode
from parley_proto.errors import UNKNOWN_OUTCOME
from parley_proto.specialist import DeadLetter, Effect, EffectSettled, EffectUnknown
from parley_testkit.bench import until
from parley_testkit.mesh import RunningMesh
from parley_testkit.ports import free_port

KILLS = int(os.environ.get("PARLEY_FAULT_KILLS", "4"))
ANSWER_S = 60.0
# Beyond that the turn would be a dead letter (parley_specialist.settings.Settings.max_attempts).
MOST_KILLS_A_REFUND = 2
# Of 200 made-up customers about half were charged twice, each for one payment.
ENOUGH_CUSTOMERS, FEWEST_PAYMENTS = 60, 60


class Scene(NamedTuple):
    mesh: RunningMesh
    party: ThirdParty
    through: Door


@pytest.fixture
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    honours: bool = request.param
    port = free_port()
    environ = {
        "PARLEY_BILLING_BACKOFFICE_URL": f"http://127.0.0.1:{port}",
        "PARLEY_BILLING_BACKOFFICE_IDEMPOTENT": str(honours).lower(),
        "PARLEY_UP_RESTARTS": "1000",
        "PARLEY_RAG_KNOWLEDGE_DIR": "none",
    }
    with RunningMesh(environ=environ) as mesh:
        backoffice = f"http://127.0.0.1:{mesh.state.ports['backoffice-1']}"

        async def kill() -> None:
            old = mesh.kill("billing-1")
            await until(lambda: mesh.pid("billing-1") != old, 30)

        async with ThirdParty(backoffice, port, honours=honours, kill=kill) as party, door(mesh.url) as through:
            yield Scene(mesh, party, through)


async def refunded(scene: Scene, moments: list[Moment]) -> Answer | None:
    """What a customer hears who agrees to a refund; None for one who was not charged twice."""
    async with Conversation(scene.through) as conversation:
        told = await conversation.say("I was charged twice for my last order", ANSWER_S)
        if told.kind != "offer":
            return None
        scene.party.moments[:] = moments
        return await conversation.say("yes please", ANSWER_S)


async def effects(mesh: RunningMesh) -> list[Effect]:
    """The ledger's last word on each effect."""
    found: dict[str, Effect] = {stored.subject: decode(stored.data, Effect) for stored in await log(mesh, "effect.*")}
    return list(found.values())


async def dead_letters(mesh: RunningMesh) -> list[DeadLetter]:
    return [decode(stored.data, DeadLetter) for stored in await log(mesh, "dead.*")]


async def log(mesh: RunningMesh, subject: str) -> list[Stored]:
    """All that the log holds on `subject`, oldest first."""
    found: list[Stored] = []
    async with connected(mesh.operator()) as client:
        bus = NatsBus(client)
        while stored := await bus.next(subject, found[-1].seq if found else 0):
            found.append(stored)
    return found


@pytest.mark.timeout(600 + 30 * KILLS)
@pytest.mark.parametrize("scene", [True], indirect=True)
async def test_a_third_party_that_honours_keys_has_exactly_one_refund_a_payment(scene: Scene) -> None:
    dice = random.Random(KILLS)
    while scene.party.kills < KILLS:
        count = dice.randint(1, MOST_KILLS_A_REFUND)
        moments: list[Moment] = [dice.choice(["before", "after"]) for _ in range(count)]
        answer = await refunded(scene, moments)
        assert answer is None or "I have refunded" in answer.text
    assert scene.party.executed and set(scene.party.executed.values()) == {1}
    settled = await effects(scene.mesh)
    assert len(settled) == len(scene.party.executed)
    assert all(isinstance(effect, EffectSettled) and effect.ok for effect in settled)


@pytest.mark.timeout(600 + 30 * KILLS)
@pytest.mark.parametrize("scene", [False], indirect=True)
async def test_a_forgetful_third_party_has_at_most_one_and_a_person_has_the_rest(scene: Scene) -> None:
    dice = random.Random(KILLS)
    in_vain = 0
    while scene.party.kills < KILLS and in_vain < ENOUGH_CUSTOMERS:
        before = scene.party.kills
        answer = await refunded(scene, [dice.choice(["before", "after"])])
        # Each payment has one try: in the end all that there are have had theirs.
        in_vain = 0 if scene.party.kills > before else in_vain + 1
        assert answer is None or answer.specialty == "escalation", answer.text
    assert scene.party.kills >= min(KILLS, FEWEST_PAYMENTS)
    assert set(scene.party.executed.values()) <= {1}
    unknown = [effect for effect in await effects(scene.mesh) if isinstance(effect, EffectUnknown)]
    assert len([effect for effect in unknown if effect.tool == "refund_payment"]) == scene.party.kills
    # With a person is what a person can find, whatever the model that was handed the conversation did about it.
    reasons = [letter.reason for letter in await dead_letters(scene.mesh) if letter.code == UNKNOWN_OUTCOME]
    missing = [effect for effect in unknown if not any(effect.key in reason for reason in reasons)]
    assert not missing, f"{len(missing)} of {len(unknown)} unknown outcomes have no dead letter: {reasons}"
