"""A dead letter on a real mesh: the customer is told, the conversation goes on, an operator retries and drops."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from parley_testkit.mesh import RunningMesh


@pytest.fixture(scope="module")
def apart() -> Iterator[RunningMesh]:
    environ = {"PARLEY_BILLING_MODEL_PATIENCE_S": "0.2", "PARLEY_RAG_KNOWLEDGE_DIR": "none"}
    with RunningMesh(environ=environ) as mesh:
        yield mesh


@pytest.fixture(scope="module")
def dead(apart: RunningMesh) -> dict[str, str]:
    """What `dead list` says of a message that was sent while no model answered."""
    model = apart.pid("llm-gateway-1")
    os.kill(model, signal.SIGSTOP)
    try:
        told = apart.json("chat", "I was charged twice for my last order", timeout=90)
    finally:
        os.kill(model, signal.SIGCONT)
    assert told["kind"] == "failed" and "Something went wrong" in told["text"]
    (letter,) = apart.json("dead", "list")
    assert letter["conversation"] == told["threadId"]
    found: dict[str, str] = letter
    return found


def test_it_is_listed_with_its_reason_and_the_customers_words(apart: RunningMesh, dead: dict[str, str]) -> None:
    assert dead["code"] == "attempts" and dead["specialty"] == "billing"
    assert dead["dead_id"] in apart.cli("dead", "list")
    shown = json.loads(apart.cli("dead", "show", dead["dead_id"]))
    assert "silent" in shown["reason"] or "answer" in shown["reason"]
    assert shown["messages"][0]["text"] == "I was charged twice for my last order"


def test_the_conversation_goes_on(apart: RunningMesh, dead: dict[str, str]) -> None:
    told = apart.json("chat", "--thread", dead["conversation"], "Please send me my latest invoice", timeout=90)
    assert told["kind"] != "failed"


def test_a_retry_answers_it_after_all_and_the_letter_is_gone(apart: RunningMesh, dead: dict[str, str]) -> None:
    apart.cli("dead", "retry", dead["dead_id"])
    deadline = time.monotonic() + 120
    while not any("charged twice" in answer for answer in answers(apart, dead["conversation"])):
        assert time.monotonic() < deadline, "it is not answered"
        time.sleep(0.2)
    assert apart.json("dead", "list") == []


@pytest.mark.parametrize("action", ["show", "retry", "drop"])
def test_what_is_not_there_is_refused_in_a_sentence(apart: RunningMesh, action: str) -> None:
    done = apart.run("dead", action, "d" + "0" * 32)
    assert done.returncode == 1 and "parley dead list" in done.stderr and "Traceback" not in done.stderr
    assert apart.run("dead", action, "*").returncode == 2


def answers(mesh: RunningMesh, thread: str) -> list[str]:
    records = mesh.json("conversations", "show", thread)
    shown = [record["body"] for record in records if record["type"] == "MessageShown"]
    return [body["text"] for body in shown if body["role"] == "assistant"]
