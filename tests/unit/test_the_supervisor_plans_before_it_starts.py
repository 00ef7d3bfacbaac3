from __future__ import annotations

from pathlib import Path

import pytest

from parley_cli.errors import CommandError
from parley_cli.supervise import plan
from parley_cli.supervise.plan import Given
from parley_cli.supervise.services import Service
from parley_mesh.settings import Found

GATEWAY = Service("gateway", "parley_gateway.settings:Settings")
RAG = Service("rag", "parley_rag.settings:Settings")
BACKOFFICE = Service("backoffice", "parley_backoffice.settings:Settings")
CONVERSATION = Service("conversation", "parley_conversation.settings:Settings")
ARCHIVER = Service("archiver", "parley_archiver.settings:Settings")
BILLING = Service("billing", "parley_billing.settings:Settings", specialist=True)
EVERYONE = [ARCHIVER, BACKOFFICE, BILLING, CONVERSATION, GATEWAY, RAG]


def given() -> Given:
    return Given(
        host="127.0.0.1",
        nats_url="nats://127.0.0.1:4222",
        nats_passwords={service.name: f"{service.name}-password" for service in EVERYONE},
        database_urls={"archiver": "postgresql://archiver", "archiver_owner": "postgresql://archiver_owner"},
        backoffice_url="http://127.0.0.1:8090",
        backoffice_token="token of the back office",
        ticket_secret="ticket secret",
        offline_model="yes",
        master_key_file="archiver.key",
        folder=Path("data"),
    )


def unset(*fields: str) -> dict[str, Found]:
    return {field: Found(field, "", "default") for field in fields}


def test_the_gateway_starts_last_and_what_others_ask_starts_first() -> None:
    first, second = plan.stages(EVERYONE)
    assert [service.name for service in first] == ["backoffice", "rag", "archiver", "conversation", "billing"]
    assert second == [GATEWAY]


def test_the_gateway_drains_first_and_nats_last() -> None:
    running = ["nats", "postgres", "rag", "conversation", "billing", "gateway", "archiver"]
    order = plan.drain_order(running, ["billing", "returns"])
    assert order == [{"gateway"}, {"billing"}, {"conversation"}, {"rag", "archiver"}, {"postgres"}, {"nats"}]


def test_a_service_that_nobody_knew_before_is_planned_like_the_others() -> None:
    desk = Service("desk", "parley_desk.settings:Settings")
    assert desk in plan.stages([*EVERYONE, desk])[0]
    assert {"desk"} in plan.drain_order(["desk", "nats"], [])


def test_all_means_every_service_but_the_third_party_and_what_follows_is_an_exception() -> None:
    found = plan.read_replicas("all=2,rag=1", EVERYONE)
    assert found == {"archiver": 2, "billing": 2, "conversation": 2, "gateway": 2, "rag": 1}
    assert plan.everyone(EVERYONE, 1) | {"backoffice": 1} == {service.name: 1 for service in EVERYONE}


@pytest.mark.parametrize(
    "text", ["all=0", "rag", "rag=", "rag=0", "rag=33", "rag=two", "rag=2x", "nobody=2", "backoffice=2", "rag=2,rag=3"]
)
def test_replicas_that_make_no_sense_are_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(CommandError) as caught:
        plan.read_replicas(text, EVERYONE)
    assert caught.value.exit_code == 2 and caught.value.message.endswith(".")


def test_replicas_are_read_from_pairs() -> None:
    assert plan.read_replicas("conversation=2, rag=3", EVERYONE) == {"conversation": 2, "rag": 3}
    assert plan.names_of(RAG, {"rag": 2}) == ["rag-1", "rag-2"]
    assert plan.names_of(RAG, {}) == ["rag-1"]


def test_every_instance_wishes_for_a_port_of_its_own() -> None:
    replicas = {service.name: 10 for service in EVERYONE if service is not BACKOFFICE}
    wishes = plan.port_wishes(EVERYONE, replicas, {"gateway-1": 8080, "nats-1": 4222}, 8100)
    assert len(set(wishes.values())) == len(wishes) == 10 * 5 + 1 + 1
    assert wishes["gateway-1"] == 8080


def test_a_service_gets_its_own_identity_and_nobody_elses() -> None:
    environ = plan.environment(BILLING, "billing-1", 8101, given(), unset("backoffice_url", "backoffice_token"), {})
    assert environ["PARLEY_MESH_NATS_USER"] == "billing"
    assert environ["PARLEY_MESH_NATS_PASSWORD"] == "billing-password"
    assert environ["PARLEY_MESH_INSTANCE"] == "billing-1"
    assert environ["PARLEY_MESH_HEALTH_PORT"] == "8101"
    assert environ["PARLEY_BILLING_BACKOFFICE_TOKEN"] == "token of the back office"
    assert not [name for name, value in environ.items() if "archiver" in value or "ticket" in value]


def test_a_service_answers_where_the_operator_wants_it_and_else_where_the_mesh_does() -> None:
    here = plan.environment(BILLING, "billing-1", 8101, given(), {"host": Found("H", "127.0.0.1", "default")}, {})
    assert here["PARLEY_MESH_HEALTH_HOST"] == given().host
    there = plan.environment(BILLING, "billing-1", 8101, given(), {"host": Found("H", "10.0.0.5", "H")}, {})
    assert there["PARLEY_MESH_HEALTH_HOST"] == "10.0.0.5"


def test_what_the_operator_has_set_is_not_replaced() -> None:
    found = {
        "backoffice_url": Found("PARLEY_BILLING_BACKOFFICE_URL", "http://elsewhere", "PARLEY_BILLING_BACKOFFICE_URL"),
        "backoffice_token": Found("PARLEY_BILLING_BACKOFFICE_TOKEN", "theirs", "parley.toml"),
    }
    outside = {"PARLEY_BILLING_BACKOFFICE_URL": "http://elsewhere", "OPENAI_API_KEY": "from outside"}
    environ = plan.environment(BILLING, "billing-1", 8101, given(), found, outside)
    assert environ["PARLEY_BILLING_BACKOFFICE_URL"] == "http://elsewhere"
    assert "PARLEY_BILLING_BACKOFFICE_TOKEN" not in environ
    assert environ["OPENAI_API_KEY"] == "from outside"


def test_the_archiver_writes_as_one_role_and_migrates_as_another() -> None:
    found = unset("database_url", "migrate_database_url", "master_key_file")
    environ = plan.environment(ARCHIVER, "archiver-1", 8102, given(), found, {})
    assert environ["PARLEY_ARCHIVER_DATABASE_URL"] == "postgresql://archiver"
    assert environ["PARLEY_ARCHIVER_MIGRATE_DATABASE_URL"] == "postgresql://archiver_owner"
    assert environ["PARLEY_ARCHIVER_MASTER_KEY_FILE"] == "archiver.key"


def test_the_back_office_is_no_part_of_the_mesh() -> None:
    environ = plan.environment(BACKOFFICE, "backoffice-1", 8090, given(), unset("host", "port", "token"), {})
    assert not [name for name in environ if "NATS" in name]
    assert environ["PARLEY_BACKOFFICE_PORT"] == "8090"
    assert environ["PARLEY_BACKOFFICE_TOKEN"] == "token of the back office"
