from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from parley_cli.operator import connected
from parley_cli.supervise import state
from parley_mesh.jetstream import NatsBus
from parley_proto.envelope import now_ms
from parley_proto.subjects import BROADCAST_STREAM
from parley_testkit.example import example_service
from parley_testkit.mesh import RunningMesh

SERVERS = ["nats-1", "postgres-1"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMesh]:
    """NATS, PostgreSQL and one example service: what the supervisor does does not depend on what it runs."""
    with RunningMesh(environ=example_service(tmp_path_factory.mktemp("example"))) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[RunningMesh]:
    """One that is not started yet."""
    running = RunningMesh(environ=example_service(tmp_path))
    yield running
    running.end()


def rows(mesh: RunningMesh) -> dict[str, dict[str, object]]:
    found = json.loads(mesh.run("status", "--json").stdout)
    return {row["name"]: row for row in found["instances"]}


def processes_of(mesh: RunningMesh) -> list[psutil.Process]:
    """Whatever runs with a file of this mesh among its arguments, or in its PostgreSQL folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "name"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(mesh.home.root) in line or process.pid in {child.pid for child in mesh.state.children.values()}:
            found.append(process)
    return found


def wait_until_none(mesh: RunningMesh, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while left := processes_of(mesh):
        assert time.monotonic() < deadline, f"left behind: {[process.info['cmdline'] for process in left]}"
        time.sleep(0.05)


@pytest.mark.parametrize("instance", ["example-1", *SERVERS])
def test_a_killed_child_comes_back_on_the_same_port(small: RunningMesh, instance: str) -> None:
    port, restarts = small.state.children[instance].port, small.restarts(instance)
    small.wait_restarted(instance, small.kill(instance))
    small.wait_ready()
    assert small.state.children[instance].port == port
    assert small.restarts(instance) == restarts + 1


def test_what_was_in_the_log_is_there_after_nats_was_killed(small: RunningMesh) -> None:
    small.cli("broadcast", "before the kill", "--ttl", "600")
    small.wait_restarted("nats-1", small.kill("nats-1"))
    small.wait_ready()
    found = json.loads(small.cli("broadcast", "after the kill") or "null")
    assert found is None


async def test_the_streams_are_laid_and_a_broadcast_lands_in_its_own(small: RunningMesh) -> None:
    before = now_ms()
    small.cli("broadcast", "The shop is closed", "--severity", "critical", "--topic", "shop")
    async with connected(small.operator()) as client:
        stored = await NatsBus(client, BROADCAST_STREAM).last("broadcast.shop")
    assert stored is not None and stored.at >= before - 1000
    assert json.loads(stored.data)["severity"] == "critical"


def test_status_tells_what_runs(small: RunningMesh) -> None:
    found = rows(small)
    assert set(found) == {"example-1", *SERVERS}
    assert found["example-1"]["ready"] is True and found["example-1"]["version"] == "0.1.0"
    assert found["example-1"]["in_flight"] == 0
    assert found["example-1"]["pid"] == small.pid("example-1")


def test_a_second_up_is_told_that_parley_runs(small: RunningMesh) -> None:
    for arguments in (["up"], ["up", "--detach"]):
        done = small.run(*arguments)
        assert done.returncode == 2
        assert f"Parley already runs here (pid {small.state.pid})" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_an_instance_joins_and_leaves_a_running_mesh(small: RunningMesh) -> None:
    small.cli("scale", "example=3")
    assert small.instances("example") == ["example-1", "example-2", "example-3"]
    assert len({child.port for child in small.state.children.values()}) == 5
    assert all(row["ready"] for row in rows(small).values())
    small.cli("scale", "example=1")
    assert small.instances("example") == ["example-1"]


def test_a_restart_that_was_asked_for_is_done_one_after_the_other(small: RunningMesh) -> None:
    pid = small.pid("example-1")
    small.cli("restart", "example")
    assert small.pid("example-1") != pid
    assert rows(small)["example-1"]["ready"] is True


def test_with_a_broken_file_of_settings_the_old_one_keeps_running(small: RunningMesh) -> None:
    pid = small.pid("example-1")
    file = small.folder / "parley.toml"
    try:
        file.write_text('[example]\npatience = "many"\n')
        done = small.run("restart", "example-1")
        assert done.returncode == 2 and "PARLEY_EXAMPLE_PATIENCE is wrong in parley.toml" in done.stderr
        assert small.pid("example-1") == pid and rows(small)["example-1"]["ready"] is True
    finally:
        file.unlink()


def test_a_changed_setting_is_there_after_a_restart(small: RunningMesh) -> None:
    file = small.folder / "parley.toml"
    try:
        file.write_text("[example]\npatience = 9\n")
        small.cli("restart", "example-1")
        [shown] = small.json("config", "show", "example.patience")
        assert shown["variable"] == "PARLEY_EXAMPLE_PATIENCE"
        assert (shown["value"], shown["origin"]) == (9, "parley.toml")
        assert len(small.json("config", "show")) > 50
    finally:
        file.unlink()


def test_a_setting_that_does_not_exist_is_said_so(small: RunningMesh) -> None:
    done = small.run("config", "show", "patients")
    assert done.returncode == 2
    assert done.stderr == "parley: No setting has 'patients' in its name; `parley config show` lists them all.\n"


def test_what_is_not_there_can_not_be_restarted(small: RunningMesh) -> None:
    done = small.run("restart", "nobody-1")
    assert done.returncode == 2 and "There is no instance 'nobody-1'; there are" in done.stderr


def test_the_environment_for_a_shell_opens_nats(small: RunningMesh) -> None:
    lines = small.cli("env").splitlines()
    assert all(line.startswith("export ") for line in lines)
    names = {line.removeprefix("export ").partition("=")[0] for line in lines}
    assert {"NATS_URL", "NATS_USER", "NATS_PASSWORD", "PARLEY_URL"} <= names


def test_logs_are_shown_by_service_and_by_instance(small: RunningMesh) -> None:
    assert "serving" in small.cli("logs", "example", "-n", "1000")
    assert small.cli("logs", "example-1", "-n", "1").count("\n") == 1
    assert small.run("logs", "nobody").returncode == 2


def test_a_taken_port_is_stepped_over_and_said(fresh: RunningMesh) -> None:
    base = int(fresh.environ["PARLEY_UP_PORT_BASE"])
    with socket.create_server(("127.0.0.1", base)):
        done = fresh.run("up", "--detach", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Some ports are taken: nats-1 uses" in done.stderr and f"(not {base})" in done.stderr
    assert fresh.state.children["nats-1"].port != base


def test_a_child_that_falls_too_often_stops_everything_with_one_sentence(fresh: RunningMesh) -> None:
    fresh.environ |= {"PARLEY_EXAMPLE_FALL": "true", "PARLEY_UP_RESTARTS": "2"}
    done = fresh.run("up", "--detach", timeout=120)
    assert done.returncode == 1
    sentence = done.stderr.strip().splitlines()[-1]
    assert sentence.startswith("parley: example-1 fell too often (exit code 7)")
    assert "the example falls, as it was told to" in sentence
    wait_until_none(fresh)


def test_an_instance_that_falls_too_often_is_left_alone_while_another_does_its_work(fresh: RunningMesh) -> None:
    fresh.environ |= {"PARLEY_UP_RESTARTS": "1"}
    fresh.cli("up", "--detach", "--replicas", "example=2", timeout=120)
    let_fall_too_often(fresh, "example-2")
    found = rows(fresh)
    assert "`parley restart example-2` starts it again" in str(found["example-2"]["reason"])
    assert found["example-1"]["ready"] is True and found["example-2"]["ready"] is False
    assert "example-2 fell too often (killed by signal 9); others do its work" in fresh.log("supervisor")
    fresh.cli("restart", "example-2")
    assert all(row["ready"] for row in rows(fresh).values())


def test_an_instance_that_refuses_its_settings_after_an_order_takes_nobody_along(
    fresh: RunningMesh, tmp_path: Path
) -> None:
    obstacle = tmp_path / "obstacle"
    fresh.environ |= {"PARLEY_EXAMPLE_REFUSES": str(obstacle), "PARLEY_MESH_SHARDS": "16"}
    fresh.cli("up", "--detach", "--replicas", "example=2", timeout=120)
    assert fresh.state.shards == 16
    obstacle.touch()
    done = fresh.run("restart", "example-1", timeout=60)
    assert done.returncode != 0 and f"{obstacle} is in the way" in done.stderr
    found = rows(fresh)
    assert found["example-2"]["ready"] is True and "is in the way" in str(found["example-1"]["reason"])
    obstacle.unlink()
    fresh.cli("restart", "example-1")
    assert all(row["ready"] for row in rows(fresh).values())


def test_the_last_instance_that_falls_too_often_stops_everything(fresh: RunningMesh) -> None:
    fresh.environ |= {"PARLEY_UP_RESTARTS": "1"}
    fresh.cli("up", "--detach", "--replicas", "example=2", timeout=120)
    let_fall_too_often(fresh, "example-2")
    fresh.wait_restarted("example-1", fresh.kill("example-1"))
    fresh.kill("example-1")
    wait_until_none(fresh)
    assert "example-1 fell too often (killed by signal 9), so everything was stopped" in fresh.log("supervisor")


def let_fall_too_often(mesh: RunningMesh, instance: str) -> None:
    """One restart is allowed: after the second fall the supervisor gives the instance up."""
    mesh.wait_restarted(instance, mesh.kill(instance))
    mesh.kill(instance)
    deadline = time.monotonic() + 60
    while not mesh.state.children[instance].given_up:
        assert time.monotonic() < deadline, f"{instance} was not given up"
        time.sleep(0.02)


def test_a_child_that_never_gets_ready_is_named_with_its_reason(fresh: RunningMesh) -> None:
    fresh.environ |= {"PARLEY_EXAMPLE_READY": "false", "PARLEY_UP_READY_S": "20"}
    done = fresh.run("up", "--detach", timeout=120)
    assert done.returncode == 1
    assert "example-1 is not ready after 20 s: example waits for ever." in done.stderr
    wait_until_none(fresh)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[example\n", "parley.toml can't be read"),
        ("[example]\npatience = []\n", "PARLEY_EXAMPLE_PATIENCE is wrong in parley.toml"),
        ("[example]\nunheard_of = 1\n", "has no setting 'unheard_of'"),
        ("[up]\nrestarts = -1\n", "PARLEY_UP_RESTARTS is wrong in parley.toml"),
    ],
)
def test_wrong_settings_are_refused_before_anything_starts(fresh: RunningMesh, content: str, sentence: str) -> None:
    (fresh.folder / "parley.toml").write_text(content)
    done = fresh.run("up", "--detach")
    assert done.returncode == 2 and sentence in done.stderr
    assert "Traceback" not in done.stderr and not fresh.home.state.exists()


def test_nothing_is_left_when_the_supervisor_itself_is_killed(fresh: RunningMesh) -> None:
    fresh.start()
    children = fresh.state.children
    os.kill(fresh.state.pid, signal.SIGKILL)
    wait_until_none(fresh)
    assert not any(state.is_alive(child.pid, child.born) for child in children.values())
    fresh.start()
    fresh.wait_ready()


def test_down_leaves_nothing_and_says_so_only_once(fresh: RunningMesh) -> None:
    fresh.start()
    fresh.stop()
    assert not processes_of(fresh)
    done = fresh.run("down")
    assert done.returncode == 2
    assert done.stderr == "parley: Parley is not running here; start it with `make up`.\n"


@pytest.mark.parametrize("arguments", [["status"], ["env"], ["kb", "search", "x"], ["broadcast", "x"], ["chat", "x"]])
def test_without_a_mesh_a_command_says_how_to_start_one(fresh: RunningMesh, arguments: list[str]) -> None:
    done = fresh.run(*arguments)
    assert done.returncode == 2
    assert done.stderr == "parley: Parley is not running here; start it with `make up`.\n"


def test_data_outlive_the_mesh(fresh: RunningMesh) -> None:
    fresh.start()
    fresh.cli("broadcast", "remember me", "--topic", "memory")
    kept = fresh.home.secrets.read_bytes()
    fresh.stop()
    fresh.start()
    assert fresh.home.secrets.read_bytes() == kept


def test_status_names_an_instance_that_does_not_answer(small: RunningMesh) -> None:
    small.kill("example-1", signal.SIGSTOP)
    try:
        done = small.run("status")
    finally:
        small.kill("example-1", signal.SIGCONT)
    assert done.returncode == 1 and "does not answer yet" in done.stdout
