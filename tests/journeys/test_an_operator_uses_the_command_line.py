from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from parley_testkit.mesh import RunningMesh

SERVERS = ("nats", "postgres", "backoffice")
SERVICES = {"backoffice", "llm-gateway", "rag", "archiver", "conversation", "gateway"}
SPECIALTIES = {"billing", "technical", "account", "returns", "escalation"}
ARTICLE = """---
title: Umbrella hire
specialty: general
---
# Umbrella hire

An umbrella can be hired at the quokka desk for 3 euros a day, with a deposit of 20 euros.
"""


def shown_when_archived(mesh: RunningMesh, thread: str) -> list[dict[str, object]]:
    """The record, once it has the answer: the archiver writes a moment after it."""
    deadline = time.monotonic() + 30
    while True:
        found = mesh.run("conversations", "show", thread, "--json")
        records: list[dict[str, object]] = json.loads(found.stdout or "[]")
        if sum(record["type"] == "MessageShown" for record in records) >= 2:
            return records
        assert time.monotonic() < deadline, found.stderr


def told(mesh: RunningMesh) -> list[dict[str, Any]]:
    """The rows of `parley status` when every instance of ours has answered in time."""
    deadline = time.monotonic() + 60
    while True:
        rows: list[dict[str, Any]] = mesh.json("status")["instances"]
        late = [row["name"] for row in rows if row["service"] not in SERVERS and not row["version"]]
        if not late:
            return rows
        assert time.monotonic() < deadline, f"not answering: {late}"


def test_status_names_every_service_and_all_are_ready(mesh: RunningMesh) -> None:
    mesh.wait_ready()
    rows = told(mesh)
    assert {row["service"] for row in rows} == SERVICES | SPECIALTIES | {"nats", "postgres"}
    assert all(row["ready"] and row["pid"] and not row["reason"] for row in rows)
    assert all(isinstance(row["pending"], int) for row in rows if row["service"] in SPECIALTIES | {"conversation"})


def test_a_conversation_can_be_shown_with_and_without_the_archive(mesh: RunningMesh) -> None:
    thread = mesh.json("chat", "I was charged twice for my last order")["threadId"]
    archived = shown_when_archived(mesh, thread)
    assert "CustomerMessage" in {record["type"] for record in archived}
    assert "I was charged twice" in mesh.cli("conversations", "show", thread)
    mesh.kill("archiver-1", signal.SIGSTOP)
    try:
        done = mesh.run("conversations", "show", thread, "--json")
    finally:
        mesh.kill("archiver-1", signal.SIGCONT)
    assert "The archive does not answer" in done.stderr
    assert {"CustomerMessage", "MessageShown", "Checkpoint"} <= {record["type"] for record in json.loads(done.stdout)}


def test_a_conversation_that_is_not_there_is_named(mesh: RunningMesh) -> None:
    done = mesh.run("conversations", "show", "cAAAAAAAAAAAAAAAAAAAAAA")
    assert done.returncode == 1 and "no conversation 'cAAAA" in done.stderr
    assert mesh.run("conversations", "show", "a.b").returncode == 2


def test_an_article_that_is_ingested_is_found_and_answers(mesh: RunningMesh, tmp_path: Path) -> None:
    (tmp_path / "umbrella-hire.md").write_text(ARTICLE, "utf-8")
    reply = mesh.json("kb", "ingest", str(tmp_path))
    assert reply["stored"] == 1 and reply.get("skipped", []) == []
    assert mesh.json("kb", "ingest", str(tmp_path))["unchanged"] == 1
    passages = mesh.json("kb", "search", "hire an umbrella at the quokka desk")["passages"]
    assert passages[0]["document"] == "umbrella-hire"
    assert "umbrella-hire" in mesh.cli("kb", "search", "hire an umbrella at the quokka desk")


def test_a_dialogue_goes_through_a_pipe_with_one_answer_a_line(mesh: RunningMesh) -> None:
    lines = mesh.cli("chat", "--json", stdin="I was charged twice\n\nthank you\n").splitlines()
    answers = [json.loads(line) for line in lines]
    assert len(answers) == 2 and answers[0]["threadId"] == answers[1]["threadId"]
    assert set(answers[0]) == {"threadId", "text", "specialty", "kind", "citations", "offline", "ms"}


def test_chat_prints_words_on_stdout_and_the_thread_beside_them(mesh: RunningMesh) -> None:
    done = mesh.run("chat", "How long does a refund take?")
    assert done.returncode == 0 and done.stdout.strip()
    thread = next(line for line in done.stderr.splitlines() if line.startswith("thread ")).removeprefix("thread ")
    assert mesh.json("chat", "and for a card?", "--thread", thread)["threadId"] == thread


def test_one_message_in_a_conversation_prints_the_answer_to_it_and_none_before(mesh: RunningMesh) -> None:
    first = mesh.json("chat", "I was charged twice for my last order")
    said = mesh.cli("chat", "--thread", first["threadId"], "thank you")
    assert said.strip() and first["text"].splitlines()[0] not in said


def test_a_message_that_is_refused_says_why(mesh: RunningMesh) -> None:
    done = mesh.run("chat", "x" * 9000)
    assert done.returncode == 1 and "bad_content" in done.stderr and not done.stdout


def test_a_third_conversation_instance_joins_while_customers_talk(mesh: RunningMesh) -> None:
    mesh.cli("scale", "conversation=3", timeout=180)
    try:
        assert len(mesh.instances("conversation")) == 3
        answers = [mesh.json("chat", "Why is there an extra fee on my invoice?") for _ in range(6)]
        assert all(answer["text"] for answer in answers)
    finally:
        mesh.cli("scale", "conversation=1", timeout=180)
    assert mesh.json("chat", "Why is there an extra fee on my invoice?")["text"]


def test_settings_are_shown_with_their_origin_and_without_their_secrets(mesh: RunningMesh) -> None:
    rows = {row["variable"]: row for row in mesh.json("config", "show")}
    assert rows["PARLEY_UP_PORT_BASE"]["origin"] == "PARLEY_UP_PORT_BASE"
    assert rows["PARLEY_GATEWAY_AUTH"]["origin"] == "default"
    mesh.environ["PARLEY_LLM_GATEWAY_API_KEY"] = "sk-do-not-show-me"
    try:
        assert "do-not-show-me" not in mesh.cli("config", "show", "--origin")
    finally:
        del mesh.environ["PARLEY_LLM_GATEWAY_API_KEY"]


@pytest.mark.parametrize("severity", ["info", "critical"])
def test_a_broadcast_is_sent_with_its_severity(mesh: RunningMesh, severity: str) -> None:
    done = mesh.run("broadcast", "The warehouse is closed today", "--severity", severity, "--ttl", "1")
    assert done.returncode == 0 and "Sent as notice-" in done.stderr
    assert mesh.run("broadcast", " ").returncode == 1
    assert mesh.run("broadcast", "x", "--topic", "a.b").returncode == 2
    refused = mesh.run("broadcast", "x", "--ttl", "0")
    assert refused.returncode == 2 and "'0' is no number of seconds from 1 to 31536000" in refused.stderr
