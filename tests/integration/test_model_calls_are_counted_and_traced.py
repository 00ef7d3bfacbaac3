"""Each attempt at a model is a CLIENT span with GenAI's names, and counted; no word of the chat is in either."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from llm_provider_fixtures import asking, gateway, settings_for, told
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY, generate_latest

from parley_testkit import fake_provider as play
from parley_testkit.fake_provider import FakeProvider

_SECRET = "my cat is called Murgatroyd"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    yield exporter
    processor.shutdown()


def _attempts(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == "chat fake-model-1"]


def _count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_each_attempt_is_a_span_under_one_completion(spans: InMemorySpanExporter) -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.failing(500), play.answer("A fine name."))
        assert (await told(completions, asking(_SECRET, temperature=0.5))).text == "A fine name."
    failed, answered = _attempts(spans)
    parent = next(span for span in spans.get_finished_spans() if span.name == "completion")
    assert parent.context is not None
    for number, span in enumerate((failed, answered), start=1):
        assert span.kind is SpanKind.CLIENT
        assert span.parent is not None
        assert span.parent.span_id == parent.context.span_id
        assert span.attributes is not None
        assert span.attributes["gen_ai.operation.name"] == "chat"
        assert span.attributes["gen_ai.provider.name"] == "openai_compatible"
        assert span.attributes["gen_ai.request.model"] == "fake-model-1"
        assert span.attributes["gen_ai.request.temperature"] == 0.5
        assert span.attributes["parley.llm.attempt"] == number
        assert span.attributes["server.address"] == "127.0.0.1"
        assert "Murgatroyd" not in span.to_json()
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "provider_error"
    assert answered.attributes is not None
    assert answered.attributes["gen_ai.response.model"] == "fake-model-1"
    assert answered.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert answered.attributes["gen_ai.usage.input_tokens"] == 11
    assert answered.attributes["gen_ai.usage.output_tokens"] == 7


async def test_attempts_tokens_and_times_are_counted() -> None:
    model = "fake-model-1"
    attempt = {"provider": "default", "model": model}
    before_ok = _count("parley_llm_attempts_total", code="ok", **attempt)
    before_bad = _count("parley_llm_attempts_total", code="provider_error", **attempt)
    before_tokens = _count("gen_ai_client_token_usage_sum", model=model, token_type="output")
    before_time = _count("gen_ai_server_request_duration_seconds_count", model=model, error_type="")
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        provider.play(play.failing(500), play.answer("A fine name."))
        await told(completions, asking(_SECRET))
    assert _count("parley_llm_attempts_total", code="ok", **attempt) == before_ok + 1
    assert _count("parley_llm_attempts_total", code="provider_error", **attempt) == before_bad + 1
    assert _count("gen_ai_client_token_usage_sum", model=model, token_type="output") == before_tokens + 7
    assert _count("gen_ai_server_request_duration_seconds_count", model=model, error_type="") == before_time + 1
    assert _count("parley_llm_running") == 0
    assert b"Murgatroyd" not in generate_latest()


async def test_an_unknown_model_of_a_caller_makes_no_new_series() -> None:
    async with FakeProvider() as provider, gateway(settings_for(provider)) as completions:
        with pytest.raises(Exception, match="unknown"):
            await told(completions, asking(model="invented-by-a-caller"))
    assert b"invented-by-a-caller" not in generate_latest()
