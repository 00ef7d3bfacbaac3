"""Three nats-servers under one supervisor: any of them may fall or forget, and the log is whole."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from parley_cli.errors import CommandError
from parley_cli.operator import connected
from parley_cli.supervise import control, nodes
from parley_cli.supervise.control import Order
from parley_mesh import topology
from parley_proto.subjects import STREAM
from parley_testkit.example import example_service
from parley_testkit.mesh import RunningMesh

NODES = ["nats-1", "nats-2", "nats-3"]
COUNT, SIZE = 3000, 4000


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMesh]:
    environ = example_service(tmp_path_factory.mktemp("example")) | {"PARLEY_UP_SCRUB_S": "2"}
    with RunningMesh(nodes=3, environ=environ) as running:
        yield running


def copies(mesh: RunningMesh, *options: str) -> tuple[int, dict[str, dict[str, object]]]:
    """The exit code of `parley scrub` and what it says of each stream."""
    done = mesh.run("scrub", *options, "--json", timeout=110)
    assert done.stdout, done.stderr
    return done.returncode, {found["stream"]: found for found in json.loads(done.stdout)}


def blocks(mesh: RunningMesh, node: str) -> list[Path]:
    """The files with the log's messages on one node, oldest first."""
    store = nodes.store_of(mesh.home, node, 3) / "jetstream" / "$G" / "streams" / STREAM / "msgs"
    return sorted(store.glob("*.blk"), key=lambda block: int(block.stem))


def flip_bits(block: Path) -> None:
    with block.open("r+b") as file:
        for place in range(block.stat().st_size // 2, block.stat().st_size // 2 + 3 * SIZE, SIZE // 2):
            file.seek(place)
            bits = file.read(1)
            file.seek(place)
            file.write(bytes([bits[0] ^ 0x10]))


async def fill(mesh: RunningMesh) -> None:
    """Enough for several blocks: nats-server reads the last one in any case when it starts."""
    async with connected(mesh.operator()) as client:
        writing = client.jetstream()
        acks = [await writing.publish_async(f"out.c{number % 50}", bytes(SIZE)) for number in range(COUNT)]
        for ack in acks:
            await ack


async def test_the_log_has_three_copies_and_every_service_knows_all_nodes(three: RunningMesh) -> None:
    assert three.instances("nats") == NODES
    assert three.instances("example") == ["example-1", "example-2"]
    known = psutil.Process(three.pid("example-1")).environ()["PARLEY_MESH_NATS_URL"]
    assert known.split(",") == [f"nats://127.0.0.1:{three.state.children[node].port}" for node in NODES]
    async with connected(three.operator()) as client:
        found = [await client.jetstream().stream_info(s["name"]) for s in topology.streams(topology.TopologySettings())]
    assert {stream.config.num_replicas for stream in found} == {3}


def test_the_supervisor_compares_by_itself_and_status_says_what_it_found(three: RunningMesh) -> None:
    deadline = time.monotonic() + 30
    while not (said := three.state.scrubbed):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert said.startswith("All copies of all streams")
    assert said in three.run("status").stdout


def test_what_was_written_is_the_same_everywhere_when_a_killed_node_is_back(three: RunningMesh) -> None:
    for node in NODES[:2]:
        three.wait_restarted(node, three.kill(node))
        three.wait_ready()
    code, found = copies(three)
    assert code == 0 and set(found) >= {STREAM, "broadcast"}
    assert all(list(one["copies"]) == NODES for one in found.values() if isinstance(one["copies"], dict))


async def test_flipped_bits_stay_hidden_until_they_are_read_and_are_mended_by_the_others(three: RunningMesh) -> None:
    await fill(three)
    whole = copies(three)[1][STREAM]["copies"]
    first, *rest = blocks(three, "nats-2")
    assert rest, "one block only: the server would repair it by itself"
    flip_bits(first)
    assert copies(three)[0] == 0
    code, found = copies(three, "--deep")
    assert (code, found[STREAM]["verdict"], found[STREAM]["odd"]) == (1, "differs", ["nats-2"])
    code, found = copies(three, "--mend")
    assert (code, found[STREAM]["verdict"], found[STREAM]["copies"]) == (0, "same", whole)
    three.cli("restart", "nats-2", timeout=110)
    assert copies(three)[1][STREAM]["copies"] == whole


async def test_a_node_like_the_others_is_left_alone(three: RunningMesh) -> None:
    pid = three.pid("nats-1")
    with pytest.raises(CommandError, match="no stream in which only nats-1 differs"):
        await control.send(three.home.control, Order("mend", "nats-1"))
    assert three.pid("nats-1") == pid


async def test_no_node_is_stopped_while_another_is_away(three: RunningMesh) -> None:
    frozen = psutil.Process(three.pid("nats-3"))
    frozen.suspend()
    try:
        for verb in ("mend", "read_anew"):
            with pytest.raises(CommandError, match=r"nats-1 has to keep running while nats-[23] is not well"):
                await control.send(three.home.control, Order(verb, "nats-1"))
        code, found = copies(three)
        assert (code, found[STREAM]["verdict"], found[STREAM]["odd"]) == (1, "unreachable", ["nats-3"])
    finally:
        frozen.resume()
    three.wait_ready()
    assert copies(three)[0] == 0


def test_the_folder_is_opened_with_three_nodes_again_and_with_no_other_number(three: RunningMesh) -> None:
    before = copies(three)[1][STREAM]["copies"]
    three.stop()
    done = three.run("up", "--detach", "--nodes", "1")
    assert done.returncode == 2 and "was begun with 3 nodes of NATS and can't be opened with 1" in done.stderr
    three.cli("up", "--detach", timeout=110)
    assert three.instances("nats") == NODES
    assert copies(three)[1][STREAM]["copies"] == before
