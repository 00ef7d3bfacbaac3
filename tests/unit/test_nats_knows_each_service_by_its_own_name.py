from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from parley_cli.supervise.nats import NatsConfig, render, size
from parley_mesh.identities import OPERATOR, permissions
from parley_proto.errors import SettingsError


def config(**different: object) -> dict[str, object]:
    values = {
        "host": "127.0.0.1",
        "port": 4222,
        "monitor_port": 8222,
        "store": Path("store"),
        "passwords": {OPERATOR: "one", "rag": "two", "billing": "three"},
        "specialties": ["billing"],
        "shards": 4,
    } | different
    decoded: dict[str, object] = msgspec.json.decode(render(NatsConfig(**values)))  # type: ignore[arg-type]
    return decoded


def test_each_service_has_its_literal_permissions_and_the_operator_has_none_to_limit_it() -> None:
    users = {user["user"]: user for user in config()["authorization"]["users"]}  # type: ignore[index]
    assert "permissions" not in users[OPERATOR]
    assert users["rag"]["permissions"] == permissions("rag", ["billing"], 4)
    assert users["billing"]["permissions"] == permissions("billing", ["billing"], 4)
    assert len({user["password"] for user in users.values()}) == 3


def test_the_server_listens_on_this_machine_only() -> None:
    assert config()["listen"] == "127.0.0.1:4222" and config()["http"] == "127.0.0.1:8222"


def test_how_often_the_store_is_synced_is_the_servers_own_unless_set() -> None:
    assert "sync_interval" not in config()["jetstream"]  # type: ignore[operator]
    assert config(sync_interval="always")["jetstream"]["sync_interval"] == "always"  # type: ignore[index]


@pytest.mark.parametrize(("text", "expected"), [("8GB", 8 << 30), ("512mb", 512 << 20), ("1000", 1000), ("2 K", 2048)])
def test_sizes_are_read_as_people_write_them(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "8 GiB", "-1", "1.5GB", "many"])
def test_what_is_no_size_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match="PARLEY_UP_MAX_FILE_STORE must be a size"):
        size(text)
