"""Hundreds of conversations at once while a service is killed: all answered, none lost, none twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from parley_testkit.mesh import RunningMesh
from parley_testkit.requirements import project_root, shared_data

SAMPLES = project_root() / "tests" / "data" / "sample_messages.jsonl"
EVERYONE = ["gateway", "conversation", "billing", "technical", "account", "returns", "escalation"]
EVERYONE += ["rag", "llm-gateway", "archiver", "backoffice", "nats", "postgres"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own messages, several times over."""
    file = tmp_path_factory.mktemp("replay") / "messages.jsonl"
    file.write_text(SAMPLES.read_text("utf-8") * 4, "utf-8")
    return file


def test_five_hundred_real_messages_are_all_answered_and_not_with_the_same_words(mesh: RunningMesh) -> None:
    result = mesh.json("replay", str(shared_data("hint3.jsonl")), "--limit", "500", "--concurrency", "32", timeout=300)
    assert (result["accepted"], result["answered"], result["lost"], result["duplicated"]) == (500, 500, 0, 0)
    assert result["kinds"]["failed"] == 0
    assert result["most_common_share"] <= 0.10
    assert result["distinct_answers"] >= 100


@pytest.mark.parametrize("service", EVERYONE)
def test_kill_9_of_any_service_in_the_midst_loses_and_repeats_nothing(
    mesh: RunningMesh, lines: Path, service: str
) -> None:
    mesh.wait_ready()
    instance = f"{service}-1"
    before = mesh.pid(instance)
    begun = transitions(mesh)
    command = [sys.executable, "-m", "parley_cli", "replay", str(lines), "--json", "--concurrency", "24"]
    replay = subprocess.Popen(
        [*command, "--data", str(mesh.home.root)], env=mesh.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while transitions(mesh) < begun + 40 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert replay.poll() is None, "the replay was over before the kill"
    mesh.kill(instance)
    out, err = replay.communicate(timeout=150)
    assert replay.returncode == 0, err.decode()
    result = json.loads(out)
    assert (result["accepted"], result["answered"]) == (result["lines"], result["lines"])
    assert (result["lost"], result["duplicated"], result["kinds"]["failed"]) == (0, 0, 0)
    assert mesh.wait_restarted(instance, before) != before
    mesh.wait_ready()


def transitions(mesh: RunningMesh) -> int:
    """How many the owner has committed, by its log."""
    return mesh.log("conversation-1").count('"event":"transition"')


def test_a_second_and_a_third_owner_take_their_part_of_the_shards(mesh: RunningMesh) -> None:
    mesh.cli("scale", "conversation=3", timeout=120)
    mesh.wait_ready()
    try:
        for _ in range(60):
            shards = sorted(row["stats"].get("shards", 0) for row in mesh.json("status")["instances"] if _owner(row))
            if sum(shards) == 64 and len(shards) == 3 and shards[0] >= 20:
                break
        assert sum(shards) == 64 and shards[0] >= 20
        result = mesh.json("replay", str(SAMPLES), timeout=120)
        assert (result["answered"], result["duplicated"]) == (result["lines"], 0)
    finally:
        mesh.cli("scale", "conversation=1", timeout=120)


def _owner(row: dict[str, Any]) -> bool:
    return str(row["name"]).startswith("conversation-")
