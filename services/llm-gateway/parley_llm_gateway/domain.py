"""Which requests are accepted, and how long they may take. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

from parley_proto.envelope import valid_id
from parley_proto.errors import PermanentError
from parley_proto.llm import ChatMessage, CompletionRequest, ToolSpec, VectorsRequest

MAX_MESSAGES = 2000
MAX_TOOLS = 128
MAX_TOKENS = 1_000_000
MAX_TEMPERATURE = 2.0
MAX_SCHEMA_DEPTH = 16
MAX_STOPS = 16
MAX_TEXTS = 2048
MAX_DIMENSIONS = 16_384
_IMAGE = re.compile(r"https?://[^\s/]+|data:image/[a-z0-9.+-]+;base64,[A-Za-z0-9+/]+={0,2}\Z", re.IGNORECASE)
_TOOL_NAME = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")
_TYPES = {"string", "number", "integer", "boolean", "array", "object", "null"}


def check(request: CompletionRequest, models: Collection[str], tiers: Collection[str]) -> None:
    """Raises PermanentError with a stable code for a request that no provider should see."""
    if not valid_id(request.request_id):
        raise PermanentError("request_id must be 16 to 64 of A-Z a-z 0-9 _ -.", code="bad_id")
    if request.model and request.model not in models:
        known = ", ".join(models)
        raise PermanentError(f"The model {request.model[:60]!r} is unknown here; use {known}.", code="unknown_model")
    if not request.model and request.tier not in tiers:
        raise PermanentError(f"The tier {request.tier[:60]!r} is unknown here.", code="unknown_tier")
    _check_messages(request.messages)
    _check_numbers(request)
    _check_tools(request.tools)
    if request.tool_choice not in ("auto", "none", "required", *(tool.name for tool in request.tools)):
        raise PermanentError("tool_choice names a tool that is not there.", code="bad_tool")


def check_texts(request: VectorsRequest) -> None:
    """Raises PermanentError for texts that nobody should embed."""
    if not request.texts or not all(text.strip() for text in request.texts):
        raise PermanentError("There is nothing to embed: a text is empty.", code="empty_messages")
    if len(request.texts) > MAX_TEXTS:
        raise PermanentError(f"A request takes at most {MAX_TEXTS} texts.", code="too_many_messages")
    if request.dimensions is not None and not 1 <= request.dimensions <= MAX_DIMENSIONS:
        raise PermanentError(f"dimensions must be from 1 to {MAX_DIMENSIONS}.", code="bad_dimensions")


def seconds_left(deadline_at: int, now: int, longest: float) -> float:
    """How long a completion may take, in seconds; 0 or less once its deadline (absolute ms) is over."""
    return min((deadline_at - now) / 1000, longest)


def _check_messages(messages: list[ChatMessage]) -> None:
    if not any(message.content.strip() or message.tool_calls or message.images for message in messages):
        raise PermanentError("There is nothing to complete: messages is empty.", code="empty_messages")
    if len(messages) > MAX_MESSAGES:
        raise PermanentError(f"A completion takes at most {MAX_MESSAGES} messages.", code="too_many_messages")
    known: set[str] = set()
    for number, message in enumerate(messages):
        known.update(call.id for call in message.tool_calls)
        if not all(_IMAGE.match(image.url) for image in message.images):
            text = f"messages[{number}] has a picture that is neither an https address nor base64 data."
            raise PermanentError(text, code="bad_message")
        if message.role == "tool" and message.tool_call_id not in known:
            text = f"messages[{number}] is a tool's result, but no message before it called {message.tool_call_id!r}."
            raise PermanentError(text[:200], code="bad_message")


def _check_numbers(request: CompletionRequest) -> None:
    heat = request.temperature
    if heat is not None and not (math.isfinite(heat) and 0 <= heat <= MAX_TEMPERATURE):
        raise PermanentError("temperature must be a number from 0 to 2.", code="bad_temperature")
    if request.top_p is not None and not (math.isfinite(request.top_p) and 0 < request.top_p <= 1):
        raise PermanentError("top_p must be a number above 0, at most 1.", code="bad_temperature")
    if len(request.stop) > MAX_STOPS:
        raise PermanentError(f"stop takes at most {MAX_STOPS} texts.", code="malformed")
    if request.max_tokens is not None and not 1 <= request.max_tokens <= MAX_TOKENS:
        raise PermanentError(f"max_tokens must be from 1 to {MAX_TOKENS}.", code="bad_max_tokens")


def _check_tools(tools: list[ToolSpec]) -> None:
    if len(tools) > MAX_TOOLS:
        raise PermanentError(f"A completion takes at most {MAX_TOOLS} tools.", code="bad_tool")
    names: set[str] = set()
    for tool in tools:
        reason = "its name is used twice" if tool.name in names else _fault(tool)
        if reason:
            raise PermanentError(f"The tool {tool.name[:64]!r} can't be used: {reason}.", code="bad_tool")
        names.add(tool.name)


def _fault(tool: ToolSpec) -> str:
    if not _TOOL_NAME.match(tool.name):
        return "a name has 1 to 64 of A-Z a-z 0-9 _ -"
    if tool.parameters and tool.parameters.get("type") != "object":
        return "its parameters must be a JSON Schema of type object"
    return _schema_fault(tool.parameters, 0)


def _schema_fault(schema: dict[str, Any], depth: int) -> str:
    """What is wrong with a JSON Schema, as far as tools use it; empty when nothing is."""
    if depth > MAX_SCHEMA_DEPTH:
        return f"its schema is nested more than {MAX_SCHEMA_DEPTH} deep"
    return _keyword_fault(schema) or _nested_fault(schema, depth)


def _keyword_fault(schema: dict[str, Any]) -> str:
    kinds = schema.get("type", "object")
    if not all(isinstance(kind, str) and kind in _TYPES for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return "its schema has an unknown type"
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return "required must be a list of names"
    if not isinstance(schema.get("enum", []), list):
        return "enum must be a list"
    return _pattern_fault(schema.get("pattern", ""))


def _pattern_fault(pattern: Any) -> str:
    try:
        re.compile(pattern)
    except (re.error, TypeError, RecursionError, OverflowError):
        return "a pattern is not a regular expression"
    return ""


def _nested_fault(schema: dict[str, Any], depth: int) -> str:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        return "properties must be an object"
    nested = [*properties.values(), *([schema["items"]] if "items" in schema else [])]
    for child in nested:
        if isinstance(child, bool):
            continue
        fault = _schema_fault(child, depth + 1) if isinstance(child, dict) else "a property must be a schema"
        if fault:
            return fault
    return ""
