from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from snapshot_tables import BUCKET, answers, change, opened, path_of

from parley_proto.errors import TransientError
from parley_rag.snapshots import Snapshots, Taken
from parley_rag.snapshots.places import place_at

pytest_plugins = ("snapshot_fixtures",)

# Stops for good when `step` of `kind` is called for the n-th time, says so, and waits to be killed.
STOPPING = """
import sys, threading
from pathlib import Path
from parley_rag.snapshots import Snapshots
from parley_rag.snapshots.places import Place

kind, step, nth, store, table, action = sys.argv[1:]
owner = {"Place": Place, "Path": Path}[kind]
real, seen, lock = getattr(owner, step), [], threading.Lock()

def stopping(*args, **kwargs):
    with lock:
        seen.append(args)
        if len(seen) >= int(nth):
            print("here", flush=True)
            threading.Event().wait()
    return real(*args, **kwargs)

setattr(owner, step, stopping)
if action == "take":
    Snapshots(store).take(table, name="cut-off", facts={})
else:
    Snapshots(store).restore("sound", table)
"""

# Writes and cleans up as another instance would, ever more seldom: on a slow machine a copy takes long.
WRITING = """
import asyncio, sys, warnings
from datetime import timedelta
import lancedb, pyarrow as pa
warnings.simplefilter("ignore")

async def main():
    connection = await lancedb.connect_async(sys.argv[1])
    table = await connection.create_table("knowledge", pa.table({"number": range(1000)}))
    print("here", flush=True)
    pause = 0.3
    for number in range(1000, 100_000, 10):
        await table.add(pa.table({"number": range(number, number + 10)}))
        await table.optimize(cleanup_older_than=timedelta(0))
        await asyncio.sleep(pause)
        pause = min(5.0, pause * 1.1)

asyncio.run(main())
"""


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A real process that has come to the point where it says so."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "here\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    assert process.stdout
    process.stdout.close()


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "disk":
        return str(tmp_path / "snapshots")
    request.getfixturevalue("s3")
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


# In the middle of the first file, of the tenth, between a file and its name, between the last file and the list.
@pytest.mark.parametrize("stop", [("write", 1), ("write", 10), ("move", 5), ("write", -1), ("move", -1)])
async def test_a_snapshot_that_is_cut_off_leaves_no_list_and_a_second_try_works(
    table: str, store: str, tmp_path: Path, stop: tuple[str, int]
) -> None:
    step, nth = stop
    count = len(Snapshots(str(tmp_path / "count")).take(table, name="count", facts={}).snapshot.files)
    before = await answers(table)
    killed(started(STOPPING, "Place", step, nth if nth > 0 else count + 1, store, table, "take"))
    assert Snapshots(store).list() == []
    again = Snapshots(store).take(table, name="cut-off", facts={})
    assert len(again.snapshot.files) == count
    assert again.copied_files == (0 if nth < 0 else pytest.approx(count, abs=nth + 4))
    Snapshots(store).restore("cut-off", table)
    assert await answers(table) == before


@pytest.mark.parametrize("stop", [("Place", "write", 1), ("Place", "write", 12), ("Path", "rename", 1)])
async def test_a_restore_that_is_cut_off_leaves_the_table_and_a_second_try_works(
    table: str, store: str, stop: Sequence[object]
) -> None:
    before = await answers(table)
    Snapshots(store).take(table, name="sound", facts={})
    await change(table, 0, 100, "changed since")
    changed = await answers(table)
    killed(started(STOPPING, *stop, store, table, "restore"))
    assert await answers(table) == changed
    Snapshots(store).restore("sound", table)
    assert await answers(table) == before
    assert place_at(table).siblings(".restoring-") == []


async def test_a_restore_that_is_cut_off_between_the_two_renames_can_be_repeated(table: str, store: str) -> None:
    before = await answers(table)
    Snapshots(store).take(table, name="sound", facts={})
    killed(started(STOPPING, "Path", "rename", 2, store, table, "restore"))
    [aside] = place_at(table).siblings(".damaged-")
    assert not Path(table).exists() and aside.found("data")
    assert Snapshots(store).restore("sound", table) == ""
    assert await answers(table) == before


# In object storage files are moved one by one: before the first, in their middle, before the last manifest.
@pytest.mark.parametrize("nth", [1, 10, -1])
async def test_a_restore_that_is_cut_off_in_object_storage_leaves_the_table(
    table: str, tmp_path: Path, s3: str, nth: int
) -> None:
    snapshots = Snapshots(str(tmp_path / "snapshots"))
    count = len(snapshots.take(table, name="sound", facts={}).snapshot.files)
    before = await answers(table)
    remote = path_of(f"s3://{BUCKET}/{uuid.uuid4().hex}/lance")
    snapshots.restore("sound", remote)
    await change(remote, 0, 100, "changed since")
    changed = await answers(remote)
    killed(started(STOPPING, "Place", "move", nth if nth > 0 else count, tmp_path / "snapshots", remote, "restore"))
    assert await answers(remote) == changed
    snapshots.restore("sound", remote)
    assert await answers(remote) == before
    assert place_at(remote).siblings(".restoring-") == []


async def test_every_snapshot_opens_that_was_taken_while_another_process_wrote_and_cleaned_up(
    tmp_path: Path, store: str
) -> None:
    table = path_of(str(tmp_path / "busy"))
    writing = started(WRITING, tmp_path / "busy")
    taken: dict[int, Taken] = {}
    try:
        async with asyncio.timeout(200):
            while len(taken) < 4:
                with contextlib.suppress(TransientError):
                    one = await asyncio.to_thread(Snapshots(store).take, table, name=f"auto-{uuid.uuid4()}", facts={})
                    taken[one.snapshot.version] = one
        assert writing.poll() is None
    finally:
        killed(writing)
    for version, one in taken.items():
        restored = path_of(str(tmp_path / one.snapshot.name))
        Snapshots(store).restore(one.snapshot.name, restored)
        there = await opened(restored)
        assert await there.version() == version
        numbers = (await there.query().to_arrow())["number"].to_pylist()
        assert sorted(numbers) == list(range(len(numbers))) and len(numbers) >= 1000
