"""Spans of model calls, with the names of OpenTelemetry's GenAI conventions in one place. Never any content."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from parley_llm_gateway.providers.base import Provider
from parley_mesh.telemetry import tracer
from parley_proto.errors import ParleyError
from parley_proto.llm import CompletionRequest, Finished

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
CONVERSATION = "gen_ai.conversation.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
ATTEMPT = "parley.llm.attempt"
OFFLINE = "parley.llm.offline"
ERROR_TYPE = "error.type"
CANCELLED = "cancelled"


@contextmanager
def completion_span(request: CompletionRequest) -> Iterator[None]:
    """The INTERNAL parent of all attempts of one completion."""
    attributes = {CONVERSATION: request.conversation, "parley.llm.tier": request.tier}
    with tracer().start_as_current_span("completion", attributes=attributes):
        yield


@contextmanager
def attempt_span(request: CompletionRequest, model: str, provider: Provider, attempt: int) -> Iterator[Span]:
    """A CLIENT span `chat <model>` around one attempt, to the end of its stream."""
    span = tracer().start_span(f"chat {model}", kind=SpanKind.CLIENT)
    span.set_attributes({OPERATION: "chat", PROVIDER: provider.name, REQUEST_MODEL: model, ATTEMPT: attempt})
    host, port = provider.address
    if host:
        span.set_attributes({"server.address": host, "server.port": port})
    if request.temperature is not None:
        span.set_attribute(REQUEST_TEMPERATURE, request.temperature)
    if request.max_tokens is not None:
        span.set_attribute(REQUEST_MAX_TOKENS, request.max_tokens)
    try:
        yield span
    except ParleyError as error:
        span.set_status(Status(StatusCode.ERROR, error.code))
        span.set_attribute(ERROR_TYPE, error.code)
        raise
    except BaseException:
        # A cancel, or the caller went away: the call is over, but nothing is broken.
        span.set_attribute(ERROR_TYPE, CANCELLED)
        raise
    finally:
        span.end()


@contextmanager
def embeddings_span(model: str, provider: Provider) -> Iterator[None]:
    """A CLIENT span `embeddings <model>` around one call for vectors."""
    attributes = {OPERATION: "embeddings", PROVIDER: provider.name, REQUEST_MODEL: model}
    with tracer().start_as_current_span(f"embeddings {model}", kind=SpanKind.CLIENT, attributes=attributes):
        yield


def record(span: Span, finished: Finished) -> None:
    """What the model answered with, in numbers."""
    span.set_attributes(
        {
            RESPONSE_MODEL: finished.model,
            FINISH_REASONS: [finished.reason],
            INPUT_TOKENS: finished.usage.prompt_tokens,
            OUTPUT_TOKENS: finished.usage.completion_tokens,
            OFFLINE: finished.offline,
        }
    )
