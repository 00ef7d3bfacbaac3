from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_archiver.domain import owner_of, recognise, storable, successor, tenants_own
from parley_proto import subjects
from parley_proto.envelope import Identity, digest, encode
from parley_testkit.samples import ASSIGN, CONVERSATION, IDENTITY, MESSAGES, TURN, customer_message

CONV = subjects.conv(CONVERSATION)
PLACES = {
    "conv": CONV,
    "turn": subjects.turn("billing"),
    "out": subjects.out(CONVERSATION),
    "step": subjects.step(CONVERSATION, TURN),
    "effect": subjects.effect("k" * 32),
}
OF = {
    "conv": {
        "CustomerMessage",
        "CancelRequested",
        "PersonRequested",
        "FeedbackGiven",
        "TurnDue",
        "TurnAnswered",
        "HandoffRequested",
        "EscalationRequested",
        "TurnFailed",
        "ConsultAnswered",
    },
    "turn": {"AssignTurn", "AskConsult"},
    "out": {"MessageShown", "OwnerChanged", "NoticeShown", "RunEnded"},
    "step": {"TurnOpened", "TurnRevoked", "EffectIntended", "EffectSettled"},
    "effect": {"EffectIntended", "EffectSettled"},
}
CASES = [(family, message) for family in OF for message in MESSAGES if type(message).__name__ in OF[family]]


@pytest.mark.parametrize(("family", "message"), CASES, ids=lambda value: getattr(value, "turn_id", None) and "")
def test_every_message_of_the_log_has_its_type_and_conversation(family: str, message: msgspec.Struct) -> None:
    facts = recognise(PLACES[family], encode(message), {})
    assert (facts.type, facts.conversation) == (type(message).__name__, CONVERSATION)
    assert facts.identity == getattr(message, "identity", None)
    assert facts.turn_id == (getattr(message, "turn_id", "") or (TURN if family == "step" else ""))


def test_the_cases_cover_every_type_of_the_log() -> None:
    assert {type(message).__name__ for _, message in CASES} == set.union(*OF.values())


def test_who_speaks_is_told_apart() -> None:
    roles = {type(m).__name__: recognise(PLACES[family], encode(m), {}).role for family, m in CASES}
    assert {kind for kind, role in roles.items() if role == "customer"} == {
        "CustomerMessage",
        "CancelRequested",
        "PersonRequested",
        "FeedbackGiven",
    }
    assert roles["MessageShown"] == "assistant"
    assert roles["OwnerChanged"] == roles["NoticeShown"] == roles["RunEnded"] == "system"
    assert roles["AssignTurn"] == roles["TurnAnswered"] == roles["EffectSettled"] == "mesh"


def test_a_type_in_the_wrong_place_is_unknown() -> None:
    assert recognise(PLACES["out"], encode(customer_message()), {}).type == "unknown"
    assert recognise("elsewhere.x", encode(customer_message()), {}).type == "unknown"


def test_a_new_type_of_a_later_version_keeps_its_customer() -> None:
    body = msgspec.json.encode({"type": "PhotoSent", "identity": IDENTITY, "at": 1})
    facts = recognise(CONV, body, {})
    assert (facts.type, facts.identity, facts.conversation) == ("unknown", IDENTITY, CONVERSATION)


def test_the_trace_is_taken_from_a_header_of_the_right_form_only() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    good = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    assert recognise(CONV, b"{}", good).trace == trace
    for bad in ("", "nonsense", f"00-{trace.upper()}-x", f"00-{trace[:-1]}-b7"):
        assert recognise(CONV, b"{}", {"traceparent": bad}).trace == ""


@given(st.binary(max_size=200), st.text(max_size=60))
def test_no_bytes_and_no_subject_are_refused_or_unfit_for_a_text_column(data: bytes, rest: str) -> None:
    for subject in (f"conv.1.{rest}", f"step.{rest}.{rest}", f"turn.{rest}", f"effect.{rest}", rest):
        facts = recognise(subject, data, {})
        texts = (facts.type, facts.role, facts.conversation, facts.turn_id, facts.trace, facts.owner, storable(subject))
        assert all(text.isprintable() for text in texts)
        assert all(text.encode() is not None for text in texts)


@given(st.text(max_size=200), st.text(max_size=200))
def test_an_identity_that_no_column_can_hold_counts_as_none(tenant: str, customer: str) -> None:
    body = msgspec.json.encode({"type": "CancelRequested", "at": 1, "identity": Identity(tenant, "p", customer)})
    identity = recognise(CONV, body, {}).identity
    assert identity is None or (identity.tenant.isprintable() and 0 < len(identity.tenant) <= 128)


def test_each_customer_of_each_tenant_has_a_key_and_so_has_a_guest() -> None:
    customers = [Identity("a", "p", "c"), Identity("b", "p", "c"), Identity("a", "p", "d")]
    guests = [Identity("a", "p", ""), Identity("a", "c", ""), Identity("b", "p", "")]
    roots = [owner_of(one).root for one in customers + guests] + [tenants_own("a").root, tenants_own("b").root]
    assert len(set(roots)) == len(roots)
    assert roots[0] == digest("a", "c")
    assert owner_of(Identity("a", "other", "c", "Name")).root == roots[0]
    assert successor(roots[0]) not in roots and successor(successor(roots[0])) != successor(roots[0])


def test_work_names_its_conversation_in_its_body() -> None:
    assert recognise(PLACES["turn"], encode(ASSIGN), {}).conversation == CONVERSATION
    hostile = msgspec.structs.replace(ASSIGN, conversation="a.b > *")
    assert recognise(PLACES["turn"], encode(hostile), {}).conversation == ""
