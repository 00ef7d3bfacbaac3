from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from snapshot_tables import BUCKET, ROWS, answers, change, damage, opened, path_of

from parley_proto.errors import ParleyError, PermanentError, TransientError
from parley_rag.snapshots import Snapshots
from parley_rag.snapshots.places import Place, place_at
from parley_rag.snapshots.rules import version_of

pytest_plugins = ("snapshot_fixtures",)

Pair = tuple[str, str]


@pytest.fixture(params=["disk to disk", "disk to s3", "s3 to disk", "s3 to s3"])
def pair(request: pytest.FixtureRequest, table: str, tmp_path: Path) -> Pair:
    """A table and a store. A table in S3 is the one on the disk, restored there."""
    source, _, target = request.param.split()
    store = str(tmp_path / "snapshots")
    if "s3" in request.param:
        request.getfixturevalue("s3")
    bucket = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    if source == "s3":
        local = Snapshots(str(tmp_path / "made"))
        local.take(table, name="made", facts={})
        table = path_of(f"{bucket}/lance")
        assert local.restore("made", table) == ""
    return table, f"{bucket}/snapshots" if target == "s3" else store


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "snapshots")


def leftovers(table: str) -> list[str]:
    return [place.root for place in place_at(table).siblings(".restoring-")]


async def test_only_new_fragments_are_copied(pair: Pair) -> None:
    table, uri = pair
    snapshots = Snapshots(uri)
    first = snapshots.take(table, name="first", facts={"rows": 3})
    assert (first.reused_files, first.copied_files) == (0, len(first.snapshot.files))
    await change(table, 200, 20, "third")
    second = snapshots.take(table, name="second", facts={})
    new = {file.path: file.size for file in second.snapshot.files} | dict.fromkeys(paths(first), 0)
    assert any(path.startswith("data/") for path, size in new.items() if size)
    assert second.copied_files == sum(1 for size in new.values() if size) < 8
    assert second.copied_bytes == sum(new.values()) < first.copied_bytes / 4
    assert second.reused_bytes == first.copied_bytes
    again = snapshots.take(table, name="third", facts={})
    assert (again.copied_files, again.copied_bytes) == (0, 0)
    assert [one.name for one in snapshots.list()] == ["third", "second", "first"]
    assert snapshots.list()[2].facts == {"rows": 3}
    assert snapshots.verify("first").version + 1 == snapshots.verify("second").version


def paths(taken: object) -> set[str]:
    return {file.path for file in taken.snapshot.files}  # type: ignore[attr-defined]


async def test_an_older_snapshot_comes_back_and_so_does_the_newer(pair: Pair) -> None:
    table, uri = pair
    snapshots = Snapshots(uri)
    before = await answers(table)
    snapshots.take(table, name="before", facts={})
    await change(table, 1_000, 500, "refund")
    await (await opened(table)).optimize()
    after = await answers(table)
    assert after["texts"] != before["texts"]
    snapshots.take(table, name="after", facts={})
    snapshots.restore("before", table)
    assert await answers(table) == before
    await change(table, 5_000, 10, "written after the restore")
    assert len((await answers(table))["texts"]) == len(before["texts"]) + 10
    await (await opened(table)).optimize()
    snapshots.restore("after", table)
    assert await answers(table) == after
    assert leftovers(table) == []


@pytest.mark.parametrize("part", ["data", "_versions", "_indices", ""])
async def test_a_table_whose_files_were_overwritten_comes_back(pair: Pair, part: str) -> None:
    table, uri = pair
    before = await answers(table)
    snapshots = Snapshots(uri)
    snapshots.take(table, name="sound", facts={})
    damage(table, part)
    with pytest.raises((RuntimeError, OSError, ValueError)):
        await answers(table)
    aside = snapshots.restore("sound", table)
    assert await answers(table) == before
    assert bool(aside) == place_at(table).on_disk
    if aside:
        assert len(place_at(aside).found()) >= len(snapshots.list()[0].files)


async def test_a_table_that_was_removed_comes_back(pair: Pair) -> None:
    table, uri = pair
    before = await answers(table)
    snapshots = Snapshots(uri)
    snapshots.take(table, name="sound", facts={})
    place_at(table).remove_all()
    with pytest.raises((RuntimeError, OSError, ValueError)):
        await answers(table)
    assert snapshots.restore("sound", table) == ""
    assert await answers(table) == before


async def test_tags_and_branches_come_back_and_those_made_since_are_gone(pair: Pair) -> None:
    table, uri = pair
    snapshots = Snapshots(uri)
    there = await opened(table)
    await there.tags.create("first", 1)
    await there.branches.create("kept", from_version=3)
    snapshots.take(table, name="tagged", facts={})
    await there.tags.create("later", 4)
    await there.branches.create("since", from_version=4)
    snapshots.restore("tagged", table)
    again = await opened(table)
    assert {name: tag["version"] for name, tag in (await again.tags.list()).items()} == {"first": 1}
    assert list(await again.branches.list()) == ["kept"]
    await again.branches.create("since", from_version=4)
    await again.checkout("first")
    assert await again.version() == 1


@pytest.mark.parametrize("wrong", ["changed", "cut off", "gone"])
async def test_a_damaged_snapshot_is_refused_and_the_table_stays(pair: Pair, wrong: str) -> None:
    table, uri = pair
    before = await answers(table)
    snapshots = Snapshots(uri)
    largest = max(snapshots.take(table, name="one", facts={}).snapshot.files, key=lambda file: file.size)
    spoil(uri, largest.sha256, largest.size, wrong)
    for attempt in (lambda: snapshots.restore("one", table), lambda: snapshots.verify("one")):
        with pytest.raises(PermanentError, match=r"Snapshot one is damaged: .* Restore another one") as caught:
            attempt()
        assert caught.value.code == "snapshot_damaged"
    assert await answers(table) == before
    assert leftovers(table) == []
    healed = snapshots.take(table, name="two", facts={})
    assert healed.copied_files <= 1
    assert snapshots.verify("two") and snapshots.verify("one")


def spoil(uri: str, sha256: str, size: int, wrong: str) -> None:
    place, path = place_at(uri), f"objects/{sha256[:2]}/{sha256}"
    if wrong == "gone":
        place.remove(path)
    else:
        place.write(path, [os.urandom(size if wrong == "changed" else size // 2)])


def test_a_damaged_list_is_left_out_and_refused(table: str, store: str) -> None:
    snapshots = Snapshots(store)
    snapshots.take(table, name="one", facts={})
    snapshots.take(table, name="two", facts={})
    list_file = Path(store, "snapshots", "two.json")
    list_file.write_text(list_file.read_text().replace("data/", "date/", 1))
    assert [one.name for one in snapshots.list()] == ["one"]
    with pytest.raises(PermanentError, match="its list was changed"):
        snapshots.restore("two", table)
    list_file.write_bytes(os.urandom(500))
    with pytest.raises(PermanentError, match="its list can't be read"):
        snapshots.verify("two")
    assert snapshots.take(table, name="three", facts={}).copied_files == 0


def test_a_snapshot_that_is_not_there_is_named(table: str, store: str) -> None:
    with pytest.raises(PermanentError, match="There is no snapshot 'none' in") as caught:
        Snapshots(store).restore("none", table)
    assert caught.value.code == "snapshot_missing"
    assert Snapshots(store).list() == []


def test_a_snapshot_is_never_replaced(table: str, store: str) -> None:
    Snapshots(store).take(table, name="one", facts={"by": "first"})
    with pytest.raises(PermanentError) as caught:
        Snapshots(store).take(table, name="one", facts={"by": "second"})
    assert caught.value.code == "snapshot_exists"
    assert Snapshots(store).list()[0].facts == {"by": "first"}


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ("data", r"The table is damaged and was not copied: data/.* Bring it back"),
        ("_versions", "The table is damaged"),
    ],
)
async def test_a_damaged_table_does_not_become_a_snapshot(pair: Pair, part: str, sentence: str) -> None:
    table, uri = pair
    snapshots = Snapshots(uri)
    snapshots.take(table, name="sound", facts={})
    damage(table, part)
    with pytest.raises(TransientError, match=sentence) as caught:
        snapshots.take(table, name="damaged", facts={})
    assert caught.value.code == "snapshot_failed"
    assert [one.name for one in snapshots.list()] == ["sound"]
    assert snapshots.verify("sound")


def test_a_change_that_keeps_the_end_of_a_file_is_noticed_too(table: str, store: str) -> None:
    snapshots = Snapshots(store)
    snapshots.take(table, name="sound", facts={})
    [file, *_] = Path(table, "data").iterdir()
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(TransientError, match=f"data/{file.name} was changed, and LanceDB never does that"):
        snapshots.take(table, name="changed", facts={})


def test_no_table_is_said(tmp_path: Path, store: str) -> None:
    with pytest.raises(TransientError, match=r"There is no table in .* to copy") as caught:
        Snapshots(store).take(str(tmp_path / "none.lance"), name="one", facts={})
    assert caught.value.code == "snapshot_failed"


def test_files_that_are_known_are_not_read_again(table: str, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshots = Snapshots(store)
    snapshots.take(table, name="one", facts={})
    read: list[str] = []
    chunks = Place.chunks

    def counted(place: Place, path: str) -> object:
        if place.root == table:
            read.append(path)
        return chunks(place, path)

    monkeypatch.setattr(Place, "chunks", counted)
    snapshots.take(table, name="two", facts={})
    assert read and all(version_of(path) for path in read)


def test_a_table_that_never_stands_still_is_given_up(table: str, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody commits while each pass runs."""
    versions = iter(range(900, 1000))
    found = Place.found

    def busy(place: Place, under: str = "") -> object:
        listed = found(place, under)
        if place.root == table and not under:
            newest = min(Path(table, "_versions").glob("*.manifest"))
            newest.with_name(f"{2**64 - 1 - next(versions)}.manifest").write_bytes(newest.read_bytes())
        return listed

    monkeypatch.setattr(Place, "found", busy)
    with pytest.raises(TransientError, match="kept changing while it was copied"):
        Snapshots(store).take(table, name="one", facts={})
    assert Snapshots(store).list() == []


def test_a_file_that_vanishes_makes_it_look_again(table: str, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clean-up removes a version that was listed; what is there afterwards is what the snapshot has."""
    oldest = max(Path(table, "_versions").glob("*.manifest"))
    found = Place.found

    def cleaned(place: Place, under: str = "") -> object:
        listed = found(place, under)
        if place.root == table and not under:
            oldest.unlink(missing_ok=True)
        return listed

    monkeypatch.setattr(Place, "found", cleaned)
    taken = Snapshots(store).take(table, name="one", facts={})
    assert f"_versions/{oldest.name}" not in paths(taken)
    assert sum(1 for path in paths(taken) if version_of(path)) == len(list(Path(table, "_versions").glob("*.manifest")))


def test_an_old_version_that_is_half_removed_is_not_kept(
    table: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean-up removes data first and manifests last: in between a version is listed that can't be opened."""
    oldest = max(Path(table, "_versions").glob("*.manifest"))
    [first, *_] = Path(table, "data").iterdir()
    chunks, found = Place.chunks, Place.found

    def removed(place: Place, path: str) -> object:
        if place.root == table and path == f"data/{first.name}":
            first.unlink()
        return chunks(place, path)

    def completed(place: Place, under: str = "") -> object:
        if place.root == table and not under and not first.exists():
            oldest.unlink(missing_ok=True)
        return found(place, under)

    monkeypatch.setattr(Place, "chunks", removed)
    monkeypatch.setattr(Place, "found", completed)
    taken = Snapshots(store).take(table, name="one", facts={})
    assert paths(taken).isdisjoint({f"_versions/{oldest.name}", f"data/{first.name}"})


def test_a_table_that_a_service_began_meanwhile_is_moved_aside_too(
    table: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Snapshots(store).take(table, name="one", facts={})
    rename = Path.rename

    def raced(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        if str(path) == table and ".damaged-" in target.name and not target.name.endswith("-1"):
            (path / "_versions").mkdir(parents=True)
        return renamed

    monkeypatch.setattr(Path, "rename", raced)
    aside = Snapshots(store).restore("one", table)
    assert place_at(aside).found() and Path(f"{aside}-1").is_dir()
    assert len(place_at(table).found("data")) == len(place_at(aside).found("data"))


async def test_pruning_keeps_what_is_named(pair: Pair) -> None:
    table, uri = pair
    snapshots = Snapshots(uri, grace_s=-5)
    for index in ("text_idx", "vector_idx"):
        await (await opened(table)).drop_index(index)
    for number in range(4):
        name = "by-hand" if number == 1 else f"auto-{number}"
        snapshots.take(table, name=name, facts={})
        await change(table, 0, ROWS, f"round{number}")
        with pytest.warns(UserWarning, match="removes every version except the latest"):
            await (await opened(table)).optimize(cleanup_older_than=timedelta(0))
    before = len(place_at(uri).found("objects"))
    pruned = snapshots.prune(1)
    assert pruned.snapshots == ["auto-2", "auto-0"]
    assert [one.name for one in snapshots.list()] == ["auto-3", "by-hand"]
    for one in snapshots.list():
        assert snapshots.verify(one.name)
    named = {file.sha256 for one in snapshots.list() for file in one.files}
    assert len(place_at(uri).found("objects")) == len(named) == before - pruned.objects
    assert pruned.objects > 3 and pruned.bytes > 100_000
    assert snapshots.prune(1).objects == 0


def test_what_is_young_stays_when_pruned(table: str, store: str) -> None:
    Snapshots(store).take(table, name="auto-1", facts={})
    place = place_at(store)
    place.write("incoming/cut-off", [b"half a file"])
    kept = len(place.found("objects"))
    assert Snapshots(store).prune(0).objects == 0
    assert len(place.found("objects")) == kept
    old = time.time() - 3_700
    for found in place.found():
        os.utime(Path(store, found.path), (old, old))
    assert Snapshots(store).prune(0).objects == kept + 1
    assert place.found() == []


def test_objects_that_vanish_while_a_snapshot_is_taken_are_copied_again(
    table: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prune that began before removes an object that the new list names."""
    first = Snapshots(store).take(table, name="one", facts={}).snapshot
    lost = first.files[0].sha256
    move, removed = Place.move, []

    def raced(place: Place, path: str, to: str, *, into: Place | None = None) -> None:
        move(place, path, to, into=into)
        if to == "snapshots/two.json" and not removed:
            removed.append(to)
            place.remove(f"objects/{lost[:2]}/{lost}")

    monkeypatch.setattr(Place, "move", raced)
    taken = Snapshots(store).take(table, name="two", facts={})
    assert removed and Snapshots(store).verify("two") == taken.snapshot


def unreachable_store(tmp_path: Path) -> str:
    return f"s3://{BUCKET}/snapshots"


def store_below_a_file(tmp_path: Path) -> str:
    (tmp_path / "file").write_text("not a folder")
    return str(tmp_path / "file" / "snapshots")


def store_without_a_bucket(tmp_path: Path) -> str:
    return "s3://no-such-bucket/snapshots"


def store_of_a_kind_that_nobody_knows(tmp_path: Path) -> str:
    return "ftp://127.0.0.1/snapshots"


@pytest.mark.parametrize(
    "make",
    [unreachable_store, store_below_a_file, store_without_a_bucket, store_of_a_kind_that_nobody_knows],
)
def test_a_store_that_can_not_be_used_is_said(
    table: str, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], str]
) -> None:
    if make is unreachable_store:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(ParleyError) as caught:
        Snapshots(make(tmp_path)).take(table, name="one", facts={})
    assert caught.value.code == "snapshot_failed"
    assert "can't be read or written" in caught.value.message
    assert time.monotonic() - began < 30
