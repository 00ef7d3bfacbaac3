"""Telemetry of one message: one trace over all services, logs that join it by id and hold none of the words."""

from __future__ import annotations

import json
from collections import defaultdict

from parley_testkit.mesh import RunningMesh

CANARY = "Zanzibarquokka was charged twice for my last order"


def spans(mesh: RunningMesh) -> list[dict[str, str]]:
    files = mesh.home.traces.glob("*.jsonl")
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def test_a_message_is_one_trace_through_gateway_conversation_specialist_rag_and_model(mesh: RunningMesh) -> None:
    mesh.json("chat", CANARY)
    wanted = {"gateway", "conversation", "billing", "rag", "llm-gateway"}
    for _ in range(100):
        traces: dict[str, set[str]] = defaultdict(set)
        for span in spans(mesh):
            traces[span["trace"]].add(span["service"])
        if any(wanted <= services for services in traces.values()):
            break
        mesh.run("status")
    assert any(wanted <= services for services in traces.values()), dict(traces)


def test_logs_are_json_with_ids_and_without_a_customers_words(mesh: RunningMesh) -> None:
    thread = mesh.json("chat", CANARY)["threadId"]
    named = 0
    for instance in mesh.instances():
        if instance.startswith(("nats", "postgres")):
            continue
        text = mesh.log(instance)
        assert "Zanzibarquokka" not in text
        for line in text.splitlines():
            record = json.loads(line)
            assert {"at", "level", "service", "event"} <= set(record)
            named += record.get("conversation") == thread and bool(record.get("trace"))
    assert named >= 3


def test_every_service_has_metrics_that_prometheus_reads(mesh: RunningMesh) -> None:
    import urllib.request

    from prometheus_client.parser import text_string_to_metric_families

    rows = {row["name"]: row for row in mesh.json("status")["instances"]}
    for instance, child in mesh.state.children.items():
        if instance.startswith(("nats", "postgres")):
            continue
        with urllib.request.urlopen(f"http://127.0.0.1:{child.port}/metrics", timeout=5) as answer:
            families = [family.name for family in text_string_to_metric_families(answer.read().decode())]
        assert any(name.startswith("parley_") for name in families), instance
        assert rows[instance]["ready"]
