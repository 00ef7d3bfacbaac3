"""OpenAI's chat completions as they travel: our request as JSON, and a stream's chunks as structs. Pure.

Lenient where servers differ (vLLM, Ollama, TGI): unknown fields are ignored, indexes and ids may be missing.
"""

from __future__ import annotations

from array import array
from base64 import b64decode
from collections.abc import Sequence
from math import isfinite
from typing import Any

import msgspec

from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.providers.base import Vectors
from parley_proto.llm import ChatMessage, CompletionRequest, Image, ToolCall, ToolSpec


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


class Cached(msgspec.Struct):
    cached_tokens: int | None = None


class Tokens(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Cached | None = None


class Chunk(msgspec.Struct):
    """One event of a stream, or a whole answer of a server that does not stream."""

    model: str | None = None
    choices: list[Choice] | None = None
    usage: Tokens | None = None
    error: Any = None


class Embedded(msgspec.Struct):
    embedding: str | list[float]
    index: int = 0


class EmbeddedList(msgspec.Struct):
    """The answer to a request for embeddings."""

    data: list[Embedded]
    model: str | None = None
    usage: Tokens = msgspec.field(default_factory=Tokens)


class Problem(msgspec.Struct):
    """What is worth knowing of a provider's error body."""

    code: str = ""
    message: str = ""


_chunks = msgspec.json.Decoder(Chunk)
_vectors = msgspec.json.Decoder(EmbeddedList)


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
        if request.tool_choice != "auto":
            body["tool_choice"] = _choice(request.tool_choice)
    if request.max_tokens is not None:
        body[limit_field] = request.max_tokens
    wishes = {name: getattr(request, name) for name in ("temperature", "top_p", "seed", "stop", "response_format")}
    body |= {name: wish for name, wish in wishes.items() if wish not in (None, [])}
    return msgspec.json.encode(body)


def embeddings_body(texts: Sequence[str], model: str, dimensions: int | None) -> bytes:
    """`texts` as one request for embeddings, asked for in base64."""
    body: dict[str, Any] = {"model": model, "input": list(texts), "encoding_format": "base64"}
    return msgspec.json.encode(body | ({"dimensions": dimensions} if dimensions else {}))


def read_vectors(data: bytes, model: str, count: int) -> Vectors:
    """The vectors of `count` texts, in order. Raises ProviderFailed for what is not that."""
    try:
        found = _vectors.decode(data)
        rows = [_floats(item.embedding) for item in sorted(found.data, key=lambda item: item.index)]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ProviderFailed("The model provider sent something that is no answer.", code="provider_garbage") from error
    sizes = {len(row) for row in rows}
    if len(rows) != count or len(sizes) != 1 or not min(sizes):
        text = "The model provider did not send one vector for each text."
        raise ProviderFailed(text, code="provider_garbage")
    return Vectors(found.model or model, sizes.pop() // 4, b"".join(rows), found.usage.prompt_tokens or 0)


def _floats(embedding: str | list[float]) -> bytes:
    """Little-endian float32. Raises ValueError where it is not whole or not finite."""
    data = b64decode(embedding, validate=True) if isinstance(embedding, str) else array("f", embedding).tobytes()
    if len(data) % 4 or not all(map(isfinite, array("f", data))):
        raise ValueError("no vector")
    return data


def _choice(wish: str) -> Any:
    return wish if wish in ("auto", "none", "required") else {"type": "function", "function": {"name": wish}}


def call_body(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _message(message: ChatMessage) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        text = [{"type": "text", "text": message.content}] if message.content else []
        body["content"] = text + [_image(image) for image in message.images]
    if message.tool_calls:
        body["content"] = message.content or None
        body["tool_calls"] = [call_body(call) for call in message.tool_calls]
    if message.tool_call_id:
        body["tool_call_id"] = message.tool_call_id
    elif message.name:
        body["name"] = message.name
    return body


def _image(image: Image) -> dict[str, Any]:
    detail = {"detail": image.detail} if image.detail else {}
    return {"type": "image_url", "image_url": {"url": image.url} | detail}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}
