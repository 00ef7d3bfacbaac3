"""OpenAI's HTTP shapes on our side of the door: their request as ours, our events as theirs. Pure.

What we can't honour (`n` above 1) is refused; penalties and labels (`user`, `metadata`) are ignored.
"""

from __future__ import annotations

from array import array
from base64 import b64encode
from typing import Any, Literal

import msgspec

from parley_llm_gateway.wire import call_body
from parley_proto.errors import PermanentError
from parley_proto.llm import (
    ChatMessage,
    CompletionEvent,
    CompletionRequest,
    Failed,
    Finished,
    Image,
    StreamReset,
    TextDelta,
    ToolCall,
    ToolCalled,
    ToolSpec,
    VectorsReply,
    VectorsRequest,
)

TIERS = ("fast", "standard", "deep")


class ImageUrl(msgspec.Struct):
    url: str
    detail: str = ""


class Part(msgspec.Struct):
    type: str
    text: str = ""
    image_url: ImageUrl | None = None


class CalledFunction(msgspec.Struct):
    name: str
    arguments: str = ""


class Called(msgspec.Struct):
    id: str
    function: CalledFunction


class Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[Called] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(msgspec.Struct):
    function: Function
    type: Literal["function"] = "function"


class NamedFunction(msgspec.Struct):
    name: str


class ToolChoice(msgspec.Struct):
    function: NamedFunction


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class ChatBody(msgspec.Struct):
    """The body of `POST /v1/chat/completions`, as far as it is honoured."""

    messages: list[Message]
    model: str = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | ToolChoice | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    response_format: dict[str, Any] | None = None


_bodies = msgspec.json.Decoder(ChatBody)


def read_body(data: bytes) -> ChatBody:
    """Raises PermanentError for what is no body, or asks for what we can't do."""
    try:
        body = _bodies.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise PermanentError(f"The request can't be read: {error}.", code="malformed") from error
    if body.n not in (None, 1):
        raise PermanentError("n above 1 is not supported here.", code="unsupported")
    return body


def to_request(body: ChatBody, request_id: str, deadline_at: int) -> CompletionRequest:
    """The request without its caller. `model` may be a tier's name."""
    tier = body.model if body.model in TIERS else ""
    choice = body.tool_choice or "auto"
    return CompletionRequest(
        request_id=request_id,
        tenant="",
        conversation="",
        messages=[_message(message) for message in body.messages],
        deadline_at=deadline_at,
        tools=[_tool(tool) for tool in body.tools or []],
        tier=tier or "standard",  # type: ignore[arg-type]
        model="" if tier else body.model,
        top_p=body.top_p,
        seed=body.seed,
        stop=[body.stop] if isinstance(body.stop, str) else body.stop or [],
        tool_choice=choice if isinstance(choice, str) else choice.function.name,
        response_format=body.response_format,
        temperature=body.temperature,
        max_tokens=body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens,
    )


def _message(message: Message) -> ChatMessage:
    calls = [ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []]
    return ChatMessage(
        role="system" if message.role == "developer" else message.role,
        content=_text(message.content),
        tool_calls=calls,
        tool_call_id=message.tool_call_id or "",
        name=message.name or "",
        images=_images(message.content),
    )


def _images(content: str | list[Part] | None) -> list[Image]:
    parts = content if isinstance(content, list) else []
    return [Image(part.image_url.url, part.image_url.detail) for part in parts if part.image_url]


def _text(content: str | list[Part] | None) -> str:
    if not isinstance(content, list):
        return content or ""
    for part in content:
        if part.type not in ("text", "refusal", "image_url"):
            raise PermanentError(f"Content of type {part.type[:40]!r} is not supported here.", code="unsupported")
    return "".join(part.text for part in content)


def _tool(tool: Tool) -> ToolSpec:
    return ToolSpec(tool.function.name, tool.function.description or "", tool.function.parameters or {})


class Reply:
    """One completion on its way out; feed it the events in order."""

    def __init__(self, request: CompletionRequest, model: str, created: int, with_usage: bool = False) -> None:
        self._id = f"chatcmpl-{request.request_id}"
        self._model = model
        self._created = created
        self._with_usage = with_usage
        # What is the same in every chunk is encoded once.
        head = msgspec.json.encode(self._head("chat.completion.chunk", model))[:-1]
        self._before = b"data: " + head + b',"choices":[{"index":0,"delta":{"content":'
        self._text: list[str] = []
        self._calls: list[ToolCall] = []

    def add(self, event: CompletionEvent) -> None:
        if isinstance(event, TextDelta):
            self._text.append(event.text)
        elif isinstance(event, ToolCalled):
            self._calls.append(event.call)
        elif isinstance(event, StreamReset):
            self._text.clear()

    def whole(self, finished: Finished) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._text) or None, "refusal": None}
        if self._calls:
            message["tool_calls"] = [call_body(call) for call in self._calls]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finished.reason}
        head = self._head("chat.completion", finished.model)
        return head | {"choices": [choice], "usage": _usage(finished)} | _facts(finished)

    def opening(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def chunk(self, event: CompletionEvent) -> bytes:
        """The bytes that stand for `event` in a stream: a comment for a sign of life."""
        if isinstance(event, TextDelta):
            return self._before + msgspec.json.encode(event.text) + _AFTER
        if isinstance(event, ToolCalled):
            self._calls.append(event.call)
            call = {"index": len(self._calls) - 1, **call_body(event.call)}
            return self._chunk({"tool_calls": [call]})
        if isinstance(event, Failed):
            return _data(error_body(event.code, event.message, partial=event.partial))
        if isinstance(event, StreamReset):
            body = msgspec.json.encode({"attempt": event.attempt, "reason": event.reason})
            return b"event: stream.reset\ndata: " + body + b"\n\n"
        return b": alive\n\n"

    def ending(self, finished: Finished) -> bytes:
        self._model = finished.model
        end = self._chunk({}, finished.reason)
        if self._with_usage:
            head = self._head("chat.completion.chunk", finished.model)
            end += _data(head | {"choices": [], "usage": _usage(finished)} | _facts(finished))
        return end + b"data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _data(self._head("chat.completion.chunk", self._model) | {"choices": [choice]})

    def _head(self, kind: str, model: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": model}


_AFTER = b'},"logprobs":null,"finish_reason":null}]}\n\n'


def _facts(finished: Finished) -> dict[str, Any]:
    """What we know beyond OpenAI's shape, under a name of our own."""
    facts = {"provider": finished.provider, "cost_micros": finished.cost, "cached": finished.cached or None}
    known = {name: fact for name, fact in facts.items() if fact not in (None, "")}
    return {"parley": known} if known else {}


def _usage(finished: Finished) -> dict[str, Any]:
    usage = finished.usage
    counted: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    return counted | ({"prompt_tokens_details": {"cached_tokens": usage.cached_tokens}} if usage.cached_tokens else {})


class EmbeddingsBody(msgspec.Struct):
    """The body of `POST /v1/embeddings`; token arrays are refused."""

    input: str | list[str]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


_embeddings = msgspec.json.Decoder(EmbeddingsBody)


def read_embeddings(data: bytes) -> EmbeddingsBody:
    """Raises PermanentError for what is no body."""
    try:
        return _embeddings.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise PermanentError(f"The request can't be read: {error}.", code="malformed") from error


def to_vectors(body: EmbeddingsBody, request_id: str, tenant: str, key: str, deadline_at: int) -> VectorsRequest:
    texts = [body.input] if isinstance(body.input, str) else body.input
    return VectorsRequest(request_id, tenant, texts, deadline_at, body.model, key, body.dimensions)


def embeddings_body(reply: VectorsReply, encoding: str) -> dict[str, Any]:
    size = reply.dimensions * 4
    rows = [reply.vectors[start : start + size] for start in range(0, len(reply.vectors), size)]
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": b64encode(row).decode() if encoding == "base64" else array("f", row).tolist(),
        }
        for index, row in enumerate(rows)
    ]
    usage = {"prompt_tokens": reply.prompt_tokens, "total_tokens": reply.prompt_tokens}
    return {"object": "list", "data": data, "model": reply.model, "usage": usage}


def model_body(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "parley"}


def _data(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


_STATUSES = {
    "bad_key": 401,
    "not_local": 403,
    "wrong_tenant": 403,
    "unknown_model": 404,
    "not_found": 404,
    "too_large": 413,
    "bad_content_type": 415,
    "overloaded": 429,
    "rate_limited": 429,
    "over_budget": 429,
    "cancelled": 499,
    "superseded": 499,
    "lease_over": 499,
    "stream_reset": 502,
    "internal": 500,
    "provider_key_refused": 503,
    "provider_quota": 503,
    "provider_resting": 503,
    "no_first_delta": 504,
    "stalled": 504,
    "too_slow": 504,
    "deadline": 504,
    "timeout": 504,
}
_UPSTREAM = {"unreachable", "no_answer", "stream_cut", "empty_answer", "answer_too_long"}
# Codes that OpenAI's clients know by another name.
_THEIRS = {
    "unknown_model": "model_not_found",
    "context_length": "context_length_exceeded",
    "bad_key": "invalid_api_key",
    "over_budget": "insufficient_quota",
}


def status_of(code: str) -> int:
    """The HTTP status of an error code: 400 for a caller's mistake, 502 for a provider's."""
    if code in _UPSTREAM or (code.startswith("provider_") and code not in (*_STATUSES, "provider_refused")):
        return 502
    return _STATUSES.get(code, 400)


def error_body(code: str, message: str, *, partial: bool = False) -> dict[str, Any]:
    """OpenAI's error envelope; `code` is what to branch on."""
    status = status_of(code)
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(status)
    kind = kind or ("server_error" if status >= 499 else "invalid_request_error")
    error = {"message": message, "type": kind, "param": None, "code": _THEIRS.get(code, code)}
    return {"error": error | ({"partial": True} if partial else {})}
