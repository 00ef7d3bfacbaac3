"""Anthropic's HTTP shapes on our side of the door: their request as ours, our events as theirs. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from parley_llm_gateway.anthropic_wire import REASONS
from parley_llm_gateway.openai_api import status_of
from parley_proto.errors import PermanentError
from parley_proto.llm import (
    Alive,
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
)

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
_KINDS |= {413: "request_too_large", 415: "invalid_request_error", 429: "rate_limit_error", 503: "overloaded_error"}
assert set(REASONS.values()) <= set(_REASONS)


class Source(msgspec.Struct):
    type: str
    url: str = ""
    media_type: str = ""
    data: str = ""


class Part(msgspec.Struct):
    type: str
    text: str = ""
    source: Source | None = None
    id: str = ""
    name: str = ""
    input: dict[str, Any] = {}
    tool_use_id: str = ""
    content: str | list[dict[str, Any]] = ""


class Message(msgspec.Struct):
    role: Literal["user", "assistant"]
    content: str | list[Part]


class Tool(msgspec.Struct):
    name: str
    input_schema: dict[str, Any]
    description: str = ""


class Choice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str = ""


class MessagesBody(msgspec.Struct):
    """The body of `POST /v1/messages`, as far as it is honoured."""

    messages: list[Message]
    max_tokens: int
    model: str = ""
    system: str | list[Part] | None = None
    stream: bool | None = None
    tools: list[Tool] | None = None
    tool_choice: Choice | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None


_bodies = msgspec.json.Decoder(MessagesBody)


def read_body(data: bytes) -> MessagesBody:
    """Raises PermanentError for what is no body."""
    try:
        return _bodies.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise PermanentError(f"The request can't be read: {error}.", code="malformed") from error


def to_request(body: MessagesBody, request_id: str, deadline_at: int) -> CompletionRequest:
    messages = [ChatMessage("system", _text(body.system))] if body.system else []
    for message in body.messages:
        messages += _messages(message)
    choice = body.tool_choice or Choice("auto")
    tier = body.model if body.model in ("fast", "standard", "deep") else ""
    return CompletionRequest(
        request_id=request_id,
        tenant="",
        conversation="",
        messages=messages,
        deadline_at=deadline_at,
        tools=[ToolSpec(tool.name, tool.description, tool.input_schema) for tool in body.tools or []],
        tier=tier or "standard",  # type: ignore[arg-type]
        model="" if tier else body.model,
        temperature=body.temperature,
        max_tokens=body.max_tokens,
        top_p=body.top_p,
        stop=body.stop_sequences or [],
        tool_choice=choice.name if choice.type == "tool" else "required" if choice.type == "any" else choice.type,
    )


def _messages(message: Message) -> list[ChatMessage]:
    """One of theirs as some of ours: each tool's result is a message of its own, before the text."""
    if isinstance(message.content, str):
        return [ChatMessage(message.role, message.content)]
    parts = message.content
    for part in parts:
        if part.type not in ("text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking"):
            raise PermanentError(f"Content of type {part.type[:40]!r} is not supported here.", code="unsupported")
    results = [
        ChatMessage("tool", _result(part), tool_call_id=part.tool_use_id)
        for part in parts
        if part.type == "tool_result"
    ]
    calls = [
        ToolCall(part.id, part.name, msgspec.json.encode(part.input).decode())
        for part in parts
        if part.type == "tool_use"
    ]
    images = [_image(part.source) for part in parts if part.type == "image" and part.source]
    text = _text(parts)
    said = [ChatMessage(message.role, text, calls, images=images)] if text or calls or images else []
    return [*results, *said]


def _image(source: Source) -> Image:
    return Image(source.url if source.type == "url" else f"data:{source.media_type};base64,{source.data}")


def _text(content: str | list[Part] | None) -> str:
    if isinstance(content, list):
        return "".join(part.text for part in content if part.type == "text")
    return content or ""


def _result(part: Part) -> str:
    if isinstance(part.content, str):
        return part.content
    return "".join(str(item.get("text", "")) for item in part.content)


class Reply:
    """One message on its way out; feed it the events in order."""

    def __init__(self, request: CompletionRequest, model: str) -> None:
        self._id = f"msg_{request.request_id}"
        self._model = model
        self._text: list[str] = []
        self._calls: list[ToolCall] = []
        self._blocks = 0
        self._open = False

    def add(self, event: CompletionEvent) -> None:
        if isinstance(event, TextDelta):
            self._text.append(event.text)
        elif isinstance(event, ToolCalled):
            self._calls.append(event.call)
        elif isinstance(event, StreamReset):
            self._text.clear()

    def whole(self, finished: Finished) -> dict[str, Any]:
        content: list[dict[str, Any]] = [{"type": "text", "text": "".join(self._text)}] if self._text else []
        content += [_use(call, _json(call.arguments)) for call in self._calls]
        return self._message(finished.model) | {
            "content": content,
            "stop_reason": _REASONS[finished.reason],
            "usage": _usage(finished),
        }

    def opening(self) -> bytes:
        # The count of the prompt is known at the end only; the last event brings it.
        message = self._message(self._model) | {"usage": {"input_tokens": 0, "output_tokens": 0}}
        return _event("message_start", {"message": message})

    def chunk(self, event: CompletionEvent) -> bytes:
        if isinstance(event, TextDelta):
            start = b"" if self._open else self._start({"type": "text", "text": ""})
            return start + self._delta({"type": "text_delta", "text": event.text})
        if isinstance(event, ToolCalled):
            start = self._stop() + self._start(_use(event.call, {}))
            delta = {"type": "input_json_delta", "partial_json": event.call.arguments}
            return start + self._delta(delta) + self._stop()
        if isinstance(event, Failed):
            return _event("error", error_body(event.code, event.message, partial=event.partial))
        if isinstance(event, StreamReset):
            self._open = False
            return _reset(event)
        return _event("ping", {}) if isinstance(event, Alive) else b""

    def ending(self, finished: Finished) -> bytes:
        delta = {"stop_reason": _REASONS[finished.reason], "stop_sequence": None}
        end = _event("message_delta", {"delta": delta, "usage": _usage(finished)})
        return self._stop() + end + _event("message_stop", {})

    def _message(self, model: str) -> dict[str, Any]:
        shape = {"id": self._id, "type": "message", "role": "assistant", "model": model, "content": []}
        return shape | {"stop_reason": None, "stop_sequence": None}

    def _start(self, block: dict[str, Any]) -> bytes:
        self._open = True
        return _event("content_block_start", {"index": self._blocks, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": self._blocks, "delta": delta})

    def _stop(self) -> bytes:
        if not self._open:
            return b""
        self._open = False
        self._blocks += 1
        return _event("content_block_stop", {"index": self._blocks - 1})


def error_body(code: str, message: str, *, partial: bool = False) -> dict[str, Any]:
    """Anthropic's error envelope, with our code beside it."""
    kind = _KINDS.get(status_of(code), "api_error")
    error = {"type": kind, "message": message, "code": code} | ({"partial": True} if partial else {})
    return {"type": "error", "error": error}


def _reset(event: StreamReset) -> bytes:
    body = msgspec.json.encode({"attempt": event.attempt, "reason": event.reason})
    return b"event: stream.reset\ndata: " + body + b"\n\n"


def _use(call: ToolCall, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": given}


def _json(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return {}


def _usage(finished: Finished) -> dict[str, int]:
    usage = finished.usage
    fresh = usage.prompt_tokens - usage.cached_tokens
    counted = {"input_tokens": fresh, "output_tokens": usage.completion_tokens}
    return counted | ({"cache_read_input_tokens": usage.cached_tokens} if usage.cached_tokens else {})


def _event(name: str, body: dict[str, Any]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode({"type": name} | body) + b"\n\n"
