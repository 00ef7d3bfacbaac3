from __future__ import annotations

import hashlib

import msgspec
import pytest

from parley_proto.errors import PermanentError, TransientError
from parley_rag.snapshots.places import endpoint_of
from parley_rag.snapshots.rules import (
    Content,
    File,
    Snapshot,
    arranged,
    belongs,
    check_name,
    check_sound,
    never_changed,
    seal_of,
    surplus,
    version_of,
)

HASH = "a" * 64
NEWEST = f"_versions/{2**64 - 1 - 12}.manifest"


def file(path: str, sha256: str = HASH) -> File:
    return File(path, 10, sha256)


def snapshot(name: str) -> Snapshot:
    return Snapshot(name, "2026-01-01T00:00:00+00:00", 1, {}, [], seal_of([]))


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (NEWEST, 12),
        ("_versions/7.manifest", 7),
        ("_versions/latest_version_hint.json", 0),
        ("_versions/d123.manifest", 0),
        (f"tree/kept/{NEWEST}", 0),
        ("data/7.manifest", 0),
    ],
)
def test_a_manifest_says_its_version(path: str, version: int) -> None:
    assert version_of(path) == version


@pytest.mark.parametrize("path", ["_versions/latest_version_hint.json", "data/.tmpGK057L", "_versions/.tmpsAe9bA"])
def test_hints_and_what_is_being_written_do_not_belong(path: str) -> None:
    assert not belongs(path)
    assert not belongs(f"tree/kept/{path}")


def test_everything_else_belongs() -> None:
    assert all(map(belongs, ["data/a.lance", "_refs/tags/first.json", NEWEST, "_transactions/1-a.txn"]))


def test_only_files_under_random_names_are_never_changed() -> None:
    assert all(map(never_changed, ["data/a.lance", "_indices/b/index.idx", "tree/kept/_deletions/c.arrow"]))
    assert not any(map(never_changed, [NEWEST, "_refs/tags/data", "_refs/tags/first.json"]))


def test_manifests_come_last_and_the_newest_at_the_very_end() -> None:
    names = [NEWEST, "_versions/3.manifest", "_refs/tags/a.json", "data/z.lance", "_versions/11.manifest"]
    arranged_names = [one.path for one in arranged([file(name) for name in names])]
    assert arranged_names == ["data/z.lance", "_refs/tags/a.json", names[1], names[4], NEWEST]


def test_content_is_hashed_while_it_passes() -> None:
    content = Content()
    chunks = [b"one", b"", b"two LAN", b"C"]
    assert list(content.through(chunks)) == chunks
    assert (content.size, content.sha256) == (11, hashlib.sha256(b"onetwo LANC").hexdigest())
    assert content.ending == b"o LANC"


@pytest.mark.parametrize("path", ["data/a.lance", NEWEST, "_indices/b/index.idx"])
def test_a_file_without_the_end_that_lance_writes_is_damaged(path: str) -> None:
    check_sound(file(path), b"xxLANC", None)
    with pytest.raises(TransientError, match="has not the end"):
        check_sound(file(path), b"xxLAN", None)


def test_a_file_that_lance_never_changes_and_that_was_changed_is_damaged() -> None:
    with pytest.raises(TransientError, match="was changed") as caught:
        check_sound(file("_transactions/a.txn"), b"", file("_transactions/a.txn", "b" * 64))
    assert caught.value.code == "snapshot_failed"
    check_sound(file(NEWEST), b"LANC", file(NEWEST, "b" * 64))


@pytest.mark.parametrize("name", ["before-launch", "auto-20260101T000000Z-v12", "1", "a" * 128])
def test_a_name_may_be_a_file_name(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "a\n", "ä", "a" * 129])
def test_a_name_may_be_nothing_else(name: str) -> None:
    with pytest.raises(PermanentError) as caught:
        check_name(name)
    assert caught.value.code == "bad_snapshot_name"


@pytest.mark.parametrize("path", ["/etc/passwd", "../up", "data/../../up", ""])
def test_a_list_can_not_name_a_file_outside_of_the_table(path: str) -> None:
    encoded = msgspec.json.encode({"path": path, "size": 1, "sha256": HASH})
    with pytest.raises(msgspec.ValidationError, match="not a path below a table"):
        msgspec.json.decode(encoded, type=File)


@pytest.mark.parametrize("sha256", ["../../x", "A" * 64, "a" * 63])
def test_a_list_can_not_name_an_object_that_is_no_hash(sha256: str) -> None:
    encoded = msgspec.json.encode({"path": "data/a.lance", "size": 1, "sha256": sha256})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(encoded, type=File)


def test_the_seal_changes_with_every_path_size_and_hash() -> None:
    one = File("data/a.lance", 1, HASH)
    others = [File("data/b.lance", 1, HASH), File("data/a.lance", 2, HASH), File("data/a.lance", 1, "b" * 64)]
    assert len({seal_of([one]), seal_of([]), seal_of([one, one]), *(seal_of([other]) for other in others)}) == 6
    assert seal_of([one]) == seal_of([File("data/a.lance", 1, HASH, modified=7)])


def test_the_oldest_automatic_ones_are_too_many_and_those_with_a_name_stay() -> None:
    newest_first = [snapshot(name) for name in ("auto-3", "launch", "auto-2", "auto-1", "old")]
    assert [one.name for one in surplus(newest_first, 1)] == ["auto-2", "auto-1"]
    assert surplus(newest_first, 3) == []


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, {}),
        ({"AWS_DEFAULT_REGION": "eu-central-1"}, {"region": "eu-central-1"}),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9000/"},
            {"endpoint_override": "127.0.0.1:9000", "scheme": "http", "region": "us-east-1"},
        ),
        (
            {"AWS_ENDPOINT": "https://s3.example", "AWS_REGION": "x"},
            {"endpoint_override": "s3.example", "scheme": "https", "region": "x"},
        ),
        (
            {"AWS_ENDPOINT": "localhost:9000"},
            {"endpoint_override": "localhost:9000", "scheme": "http", "region": "us-east-1"},
        ),
        (
            {"AWS_ENDPOINT": "minio.example:9000"},
            {"endpoint_override": "minio.example:9000", "scheme": "https", "region": "us-east-1"},
        ),
    ],
)
def test_the_endpoint_comes_from_the_usual_variables(environ: dict[str, str], said: dict[str, str]) -> None:
    assert endpoint_of(environ) == said
