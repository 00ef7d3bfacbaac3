"""Knowledge under fire, in a mesh of its own: rag killed in mid-ingestion, its table destroyed and brought back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parley_testkit.mesh import RunningMesh

WAIT_S = 240.0
DOCUMENTS = 600
TOPIC = "Within how many days must I return a hired speaker?"


@pytest.fixture(scope="module")
def apart() -> Iterator[RunningMesh]:
    with RunningMesh() as mesh:
        yield mesh


def until(mesh: RunningMesh, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {WAIT_S:g} s: {what}\n{mesh.log('rag-1')[-2000:]}"
        time.sleep(0.05)


def rows(first: int, count: int) -> str:
    return "".join(
        json.dumps(
            {
                "id": f"umbrella-{number}",
                "title": f"Umbrella {number}",
                "text": f"The umbrella of type {number} can be hired at desk {number}. It may be kept for {number} "
                "days and brought back to any desk that is open. A deposit is given back with the umbrella.",
            }
        )
        + "\n"
        for number in range(first, first + count)
    )


def facts(mesh: RunningMesh) -> dict[str, Any]:
    found: dict[str, Any] = mesh.json("kb", "stats")["facts"]
    return found


def progress(mesh: RunningMesh, job: str) -> dict[str, Any]:
    done = mesh.run("kb", "progress", job, "--json")
    return json.loads(done.stdout) if done.stdout else {}


def answer(mesh: RunningMesh, text: str) -> str:
    said: str = mesh.json("chat", text)["text"]
    return said


@pytest.mark.timeout(900)
def test_an_ingestion_goes_on_where_a_killed_service_stopped(apart: RunningMesh, tmp_path: Path) -> None:
    apart.wait_ready()
    before = facts(apart)["rows"]
    (tmp_path / "umbrellas.jsonl").write_text(rows(0, DOCUMENTS) + "this is no row\n", "utf-8")
    job = apart.cli("kb", "ingest", str(tmp_path), "--detach").strip()
    kills = 0
    while kills < 2 and progress(apart, job).get("state") != "done":
        seen = progress(apart, job).get("documents", 0)
        until(apart, lambda seen=seen: progress(apart, job).get("documents", 0) > seen, "the ingestion moves")
        pid = apart.kill("rag-1")
        apart.wait_restarted("rag-1", pid)
        kills += 1
    until(apart, lambda: progress(apart, job).get("state") == "done", "the ingestion ends")
    found = progress(apart, job)
    assert found["resumed"] >= 1 and found["resumed_from"] >= 1
    assert found["documents"] == found["stored"] + found.get("unchanged", 0) == DOCUMENTS
    assert found["refused"] == 1 and "line 601" in found["skipped"][0]["document_id"] + found["skipped"][0]["reason"]
    assert facts(apart)["rows"] == before + DOCUMENTS
    again = apart.run("kb", "ingest", str(tmp_path), "--json")
    assert json.loads(again.stdout)["unchanged"] == DOCUMENTS and "stored" not in json.loads(again.stdout)
    assert again.returncode == 1 and "this is no row" not in again.stderr
    assert facts(apart)["rows"] == before + DOCUMENTS


@pytest.mark.timeout(900)
def test_a_destroyed_table_costs_answers_and_one_command_brings_it_back(apart: RunningMesh, tmp_path: Path) -> None:
    apart.wait_ready()
    (tmp_path / "hired.md").write_text(
        "# Hiring a speaker\n\nA hired speaker must be returned within nineteen days.\n", "utf-8"
    )
    apart.cli("kb", "ingest", str(tmp_path))
    assert "nineteen days" in answer(apart, TOPIC)
    version = facts(apart)["version"]
    until(apart, lambda: any(one["version"] >= version for one in apart.json("kb", "snapshots")["rows"]), "a snapshot")
    destroy(apart)
    said = answer(apart, TOPIC)
    assert "nineteen days" not in said and "can't" in said
    assert apart.run("status").returncode == 1
    assert "parley kb restore" in apart.run("kb", "search", TOPIC).stderr
    assert "is back" in apart.cli("kb", "restore")
    assert "nineteen days" in answer(apart, TOPIC)
    apart.wait_ready()


def destroy(mesh: RunningMesh) -> None:
    """Random bytes over every file of the table, as a broken disk would leave them; and forget what is in memory."""
    files = [file for file in (mesh.home.root / "rag" / "lance").rglob("*") if file.is_file()]
    assert len(files) > 3
    for file in files:
        file.write_bytes(os.urandom(max(file.stat().st_size, 1)))
    pid = mesh.kill("rag-1")
    mesh.wait_restarted("rag-1", pid)
    until(mesh, lambda: "parley kb restore" in mesh.run("status").stdout, "rag says that its table is damaged")


@pytest.mark.timeout(900)
def test_a_version_that_was_named_comes_back(apart: RunningMesh, tmp_path: Path) -> None:
    apart.wait_ready()
    (tmp_path / "desk.md").write_text("# Quokka desk\n\nThe quokka desk closes at five o'clock.\n", "utf-8")
    apart.cli("kb", "ingest", str(tmp_path))
    apart.cli("kb", "tag", "good")
    apart.cli("kb", "forget", "desk")
    found = apart.json("kb", "search", "when does the quokka desk close")["passages"]
    assert "desk" not in [passage["document"] for passage in found]
    assert "is back" in apart.cli("kb", "restore", "good")
    assert apart.json("kb", "search", "when does the quokka desk close")["passages"][0]["document"] == "desk"
    assert apart.run("kb", "restore", "no-such-name").returncode == 1


def test_what_is_in_the_bucket_is_taken_in_by_name(apart: RunningMesh, nats_command: str) -> None:
    apart.wait_ready()
    environ = os.environ | dict(
        line.removeprefix("export ").partition("=")[::2]
        for line in apart.cli("env").replace("'", "").splitlines()
        if line.startswith("export ")
    )
    subprocess.run(
        [nats_command, "object", "put", "documents", "--name", "shop/wombat.txt", "--force", "--no-progress"],
        input=b"The wombat shop repairs kites on Mondays.",
        env=environ,
        check=True,
        capture_output=True,
        timeout=30,
    )
    assert apart.json("kb", "ingest", "--bucket", "shop/")["stored"] == 1
    assert apart.json("kb", "search", "who repairs kites")["passages"][0]["document"] == "wombat"


@pytest.mark.timeout(900)
def test_bad_files_are_refused_with_their_reason_and_the_rest_goes_in(apart: RunningMesh, tmp_path: Path) -> None:
    apart.wait_ready()
    with (tmp_path / "huge.txt").open("wb") as huge:
        huge.truncate(200 << 20)
    (tmp_path / "empty.md").touch()
    (tmp_path / "picture.md").write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(500))
    (tmp_path / "half.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog")
    (tmp_path / "kites.html").write_text("<html><title>Kites</title><body><h1>Kites</h1><p>Kites fly on Tuesdays.</p>")
    done = apart.run("kb", "ingest", str(tmp_path), "--json")
    reply = json.loads(done.stdout)
    assert done.returncode == 1 and (reply["stored"], reply["refused"]) == (1, 4)
    reasons = {one["document_id"].partition(" ")[0]: one["reason"] for one in reply["skipped"]}
    assert "200.0 MB, the limit is 64 MB" in reasons["huge.txt"]
    assert set(reasons) == {"huge.txt", "empty.md", "picture.md", "half.pdf"} and all(reasons.values())
    assert apart.json("kb", "search", "when do kites fly")["passages"][0]["document"] == "kites.html"


@pytest.mark.timeout(900)
def test_an_interrupted_command_leaves_the_ingestion_running(apart: RunningMesh, tmp_path: Path) -> None:
    apart.wait_ready()
    (tmp_path / "more.jsonl").write_text(rows(10_000, 200), "utf-8")
    command = [sys.executable, "-m", "parley_cli", "kb", "ingest", str(tmp_path), "--data", str(apart.home.root)]
    before = facts(apart)["rows"]
    child = subprocess.Popen(command, env=apart.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(apart, lambda: facts(apart)["rows"] > before, "the first rows are stored")
    child.kill()
    child.wait()
    until(apart, lambda: facts(apart)["rows"] == before + 200, "the rest is stored")
    shutil.rmtree(tmp_path)
