"""Traces through NATS headers, JSON logs with conversation, turn and trace ids, never a customer's words."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from logging.handlers import RotatingFileHandler
from typing import Any

import msgspec
from opentelemetry import propagate, trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from parley_proto.errors import ParleyError

MAX_TRACE_BYTES = 20 << 20
_FRAMES, _MOST_FRAMES = 6, 24
_context: ContextVar[dict[str, str] | None] = ContextVar("parley_log_context", default=None)
_PLAIN = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


@cache
def tracer() -> Tracer:
    """Looked up once: a lookup costs more than a span that is not sampled."""
    return trace.get_tracer("parley")


def log(name: str) -> logging.Logger:
    return logging.getLogger(name)


def inject() -> dict[str, str]:
    """Headers that carry the current trace to the next service."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


@contextmanager
def continued(headers: Mapping[str, str] | None, **ids: str) -> Iterator[None]:
    """Continue the caller's trace, and put `ids` (conversation, turn) on every log line inside."""
    token = attach(propagate.extract(dict(headers or {})))
    ids_token = _context.set((_context.get() or {}) | ids)
    try:
        yield
    finally:
        _context.reset(ids_token)
        detach(token)


def setup(service: str, instance: str, *, level: str, trace_file: str, sample: float) -> None:
    """Logging and tracing of this process; spans go to `trace_file`, if one is named."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service, instance))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.setLevel("WARNING")
    uvicorn.addFilter(_not_the_peers_fault)
    resource = Resource.create({"service.name": service, "service.instance.id": instance})
    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(sample)))
    if trace_file:
        provider.add_span_processor(BatchSpanProcessor(SpanFile(trace_file), schedule_delay_millis=500))
    trace.set_tracer_provider(provider)


def flush() -> None:
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def _not_the_peers_fault(record: logging.LogRecord) -> bool:
    """Bytes that are no UTF-8 close the connection that sent them; they are no error of ours."""
    return not (record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError))


class JsonLines(logging.Formatter):
    """One JSON object a line; newlines inside a value stay escaped, so that no line can be forged."""

    def __init__(self, service: str, instance: str) -> None:
        super().__init__()
        self._base = {"service": service, "instance": instance}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"at": _rfc3339(record.created), "level": record.levelname.lower(), **self._base}
        line |= {"logger": record.name, "event": record.getMessage()} | (_context.get() or {})
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace"] = f"{span.trace_id:032x}"
        line |= {key: value for key, value in record.__dict__.items() if key not in _PLAIN}
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            line["stack"] = _stack(record.exc_info[1])
        return _json(line)


class SpanFile(SpanExporter):
    """Spans as JSON lines in a file that is put aside at `MAX_TRACE_BYTES`, so that it never fills the disk."""

    def __init__(self, path: str) -> None:
        self._file = RotatingFileHandler(path, maxBytes=MAX_TRACE_BYTES, backupCount=1, encoding="utf-8")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._file.emit(logging.makeLogRecord({"msg": "\n".join(map(_span_line, spans))}))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._file.close()


def _json(line: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(line, enc_hook=str).decode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, as JSON lets a client send one.
        return json.dumps(line, default=str)


def _stack(error: BaseException | None) -> list[str]:
    """Types and places of an error and of what led to it; texts only of our own, others may hold a customer's words."""
    told: list[str] = []
    while error is not None and len(told) < _MOST_FRAMES:
        text = f": {error.message}" if isinstance(error, ParleyError) else ""
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        told.append(f"{type(error).__name__}{text}")
        told += [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in reversed(frames)]
        error = error.__cause__ or error.__context__
    return told[:_MOST_FRAMES]


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def _span_line(span: ReadableSpan) -> str:
    context, parent = span.get_span_context(), span.parent
    line = {
        "trace": f"{context.trace_id:032x}" if context else "",
        "span": f"{context.span_id:016x}" if context else "",
        "parent": f"{parent.span_id:016x}" if parent else "",
        "name": span.name,
        "service": span.resource.attributes.get("service.name"),
        "start_ns": span.start_time,
        "ms": round(((span.end_time or 0) - (span.start_time or 0)) / 1e6, 3),
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes or {}),
    }
    return _json(line)
