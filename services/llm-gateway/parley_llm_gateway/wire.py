"""OpenAI's chat completions as they travel: our request as JSON, and a stream's chunks as structs. Pure.

Lenient where servers differ (vLLM, Ollama, TGI): unknown fields are ignored, indexes and ids may be missing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from parley_llm_gateway.errors import ProviderFailed
from parley_proto.llm import ChatMessage, CompletionRequest, ToolCall, ToolSpec


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Fragment(msgspec.Struct):
    """A piece of a tool call."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Fragment] | None = None


class Choice(msgspec.Struct):
    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Chunk(msgspec.Struct):
    """One event of a stream, or a whole answer of a server that does not stream."""

    model: str | None = None
    choices: list[Choice] | None = None
    usage: Tokens | None = None
    error: Any = None


class Problem(msgspec.Struct):
    """What is worth knowing of a provider's error body."""

    code: str = ""
    message: str = ""


_chunks = msgspec.json.Decoder(Chunk)


def read_chunk(data: str | bytes) -> Chunk:
    """Raises ProviderFailed for what is not a chunk."""
    try:
        return _chunks.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProviderFailed("The model provider sent something that is no answer.", code="provider_garbage") from error


def read_problem(error: Any) -> Problem:
    """Code and text of an `error` member, whatever its shape."""
    if isinstance(error, str):
        return Problem(message=error)
    if not isinstance(error, dict):
        return Problem()
    code = error.get("code") or error.get("type") or ""
    return Problem(str(code), str(error.get("message") or ""))


def request_body(request: CompletionRequest, model: str, limit_field: str = "max_tokens") -> bytes:
    """`request` as a streaming chat completion with usage at its end."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body[limit_field] = request.max_tokens
    return msgspec.json.encode(body)


def call_body(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _message(message: ChatMessage) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        body["content"] = message.content or None
        body["tool_calls"] = [call_body(call) for call in message.tool_calls]
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    elif message.name:
        body["name"] = message.name
    return body


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}
