from __future__ import annotations

import json
from pathlib import Path

import pytest

from parley_cli.errors import CommandError
from parley_cli.supervise import nodes
from parley_cli.supervise.home import Home
from parley_cli.supervise.nats import NatsConfig, Routes, render
from parley_mesh.connection import servers
from parley_mesh.settings import MeshSettings


def begun(folder: Path, count: int) -> Home:
    """A folder in which `count` nodes have run."""
    home = Home(folder)
    home.make()
    for name in nodes.names(count):
        (nodes.store_of(home, name, count) / "jetstream").mkdir(parents=True)
    return home


def config(routes: Routes | None) -> dict[str, object]:
    content = NatsConfig("127.0.0.1", 4222, 8222, Path("store"), {"operator": "x"}, [], 64, routes=routes)
    decoded: dict[str, object] = json.loads(render(content))
    return decoded


@pytest.mark.parametrize(("wanted", "found"), [(0, 1), (1, 1), (3, 3), (5, 5)])
def test_an_empty_folder_takes_any_number_and_one_by_itself(tmp_path: Path, wanted: int, found: int) -> None:
    assert nodes.decide(wanted, begun(tmp_path, 0)) == found


@pytest.mark.parametrize("wanted", [-1, 2, 4, 6, 100])
def test_a_number_without_a_safe_majority_is_refused(tmp_path: Path, wanted: int) -> None:
    with pytest.raises(CommandError, match=rf"1, 3 or 5 nodes of NATS .*, not {wanted}\.") as caught:
        nodes.decide(wanted, begun(tmp_path, 0))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("before", nodes.ALLOWED)
def test_a_folder_goes_on_with_as_many_as_it_was_begun_with(tmp_path: Path, before: int) -> None:
    assert nodes.decide(0, begun(tmp_path, before)) == before


@pytest.mark.parametrize(("before", "wanted"), [(1, 3), (3, 1), (3, 5), (5, 3)])
def test_another_number_would_lose_the_log_and_is_refused(tmp_path: Path, before: int, wanted: int) -> None:
    with pytest.raises(CommandError, match=rf"can't be opened with {wanted}: start it with --nodes {before}") as caught:
        nodes.decide(wanted, begun(tmp_path, before))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("count", nodes.ALLOWED)
@pytest.mark.parametrize("base", [0, 20_000])
def test_every_node_wishes_for_ports_of_its_own(count: int, base: int) -> None:
    wishes = nodes.port_wishes(count, base=base)
    assert len(set(wishes.values())) == len(wishes) == (2 if count == 1 else 3 * count)
    assert wishes["nats-1"] == (base or 4222)
    assert not base or max(wishes.values()) < base + 200


def test_each_node_has_a_store_of_its_own(tmp_path: Path) -> None:
    stores = {nodes.store_of(Home(tmp_path), name, count) for count in nodes.ALLOWED for name in nodes.names(count)}
    assert len(stores) == 1 + 3 + 5


def test_nodes_let_each_other_in_by_password_and_one_alone_has_no_routes() -> None:
    cluster = config(Routes("127.0.0.1:6222", ["127.0.0.1:6222", "127.0.0.1:6223"], "secret"))["cluster"]
    assert isinstance(cluster, dict)
    assert cluster["authorization"] == {"user": "node", "password": "secret"}
    assert cluster["routes"] == ["nats://node:secret@127.0.0.1:6222", "nats://node:secret@127.0.0.1:6223"]
    assert "cluster" not in config(None)


def test_a_client_is_told_of_all_servers_in_one_setting() -> None:
    assert servers(MeshSettings(nats_url="nats://a:1, nats://b:2,")) == ["nats://a:1", "nats://b:2"]
