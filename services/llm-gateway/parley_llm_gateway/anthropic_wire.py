"""Anthropic's messages as they travel: our request as theirs, and their events as OpenAI's chunks. Pure.

Their events are turned into the chunks that `assembly` knows, so that one assembly has all the rules.
"""

from __future__ import annotations

from typing import Any

import msgspec

from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.providers.base import Call
from parley_llm_gateway.wire import Cached, Choice, Chunk, Delta, Fragment, Function, Tokens
from parley_proto.llm import ChatMessage, CompletionRequest, Image, ToolSpec

REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
REASONS |= {"refusal": "content_filter", "model_context_window_exceeded": "length", "pause_turn": "stop"}


class Block(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    input: dict[str, Any] | None = None
    stop_reason: str | None = None


class Used(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class Message(msgspec.Struct):
    model: str | None = None
    usage: Used | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None


class Event(msgspec.Struct):
    """One event of a stream, or a whole answer: then `type` is message."""

    type: str = ""
    index: int = 0
    message: Message | None = None
    content_block: Block | None = None
    delta: Block | None = None
    usage: Used | None = None
    error: Any = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None


_events = msgspec.json.Decoder(Event)


class Translator:
    """Events in order, chunks out. Usage comes in two parts, which are added up here."""

    def __init__(self) -> None:
        self._tokens = Tokens()

    def chunk(self, data: str | bytes) -> Chunk:
        """Raises ProviderFailed for what is no event."""
        try:
            event = _events.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            text = "The model provider sent something that is no answer."
            raise ProviderFailed(text, code="provider_garbage") from error
        if event.type == "message":
            return self._whole(event)
        match event.type:
            case "error":
                return Chunk(error=event.error or {"type": "api_error"})
            case "message_start" if event.message:
                self._count(event.message.usage)
                return Chunk(model=event.message.model)
            case "content_block_start" if event.content_block:
                return _said(_delta(event.index, event.content_block))
            case "content_block_delta" if event.delta:
                return _said(_delta(event.index, event.delta))
            case "message_delta":
                self._count(event.usage)
                reason = event.delta.stop_reason if event.delta else None
                return Chunk(choices=[Choice(finish_reason=_reason(reason))])
            case "message_stop":
                return Chunk(usage=self._tokens)
        return Chunk()

    def _whole(self, event: Event) -> Chunk:
        self._count(event.usage)
        text = "".join(block.text or "" for block in event.content or [])
        calls = [
            Fragment(index, block.id, Function(block.name, block.input or {}))
            for index, block in enumerate(event.content or [])
            if block.type == "tool_use"
        ]
        choice = Choice(delta=Delta(content=text, tool_calls=calls), finish_reason=_reason(event.stop_reason))
        return Chunk(event.model, [choice], self._tokens)

    def _count(self, used: Used | None) -> None:
        if used is None:
            return
        if used.input_tokens is not None:
            cached = used.cache_read_input_tokens or 0
            self._tokens.prompt_tokens = used.input_tokens + cached + (used.cache_creation_input_tokens or 0)
            self._tokens.prompt_tokens_details = Cached(cached)
        if used.output_tokens is not None:
            self._tokens.completion_tokens = used.output_tokens


def _delta(index: int, block: Block) -> Delta:
    match block.type:
        case "tool_use":
            return Delta(tool_calls=[Fragment(index, block.id, Function(block.name))])
        case "input_json_delta":
            return Delta(tool_calls=[Fragment(index, None, Function(None, block.partial_json))])
    return Delta(content=block.text, reasoning=block.thinking)


def _said(delta: Delta) -> Chunk:
    return Chunk(choices=[Choice(delta=delta)])


def _reason(reason: str | None) -> str | None:
    return REASONS.get(reason, "stop") if reason else None


def messages_body(call: Call) -> bytes:
    """The request as a streaming message."""
    request = call.request
    body: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.max_tokens,
        "messages": _messages(request.messages),
        "stream": True,
    }
    system = "\n\n".join(message.content for message in request.messages if message.role == "system")
    wishes = {
        "system": system or None,
        # Theirs ends at 1; what is hotter than that is as hot as it gets.
        "temperature": None if request.temperature is None else min(request.temperature, 1.0),
        "top_p": request.top_p,
        "stop_sequences": request.stop or None,
        **_tools(request),
    }
    return msgspec.json.encode(body | {name: wish for name, wish in wishes.items() if wish is not None})


def _tools(request: CompletionRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    kind = {"auto": "auto", "none": "none", "required": "any"}.get(request.tool_choice)
    choice = {"type": kind} if kind else {"type": "tool", "name": request.tool_choice}
    return {"tools": [_tool(tool) for tool in request.tools], "tool_choice": choice}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    schema = tool.parameters or {"type": "object", "properties": {}}
    return {"name": tool.name, "description": tool.description, "input_schema": schema}


def _messages(messages: list[ChatMessage]) -> list[dict[str, Any]]:
    """Theirs alternate between user and assistant: neighbours of one role become one message."""
    merged: list[dict[str, Any]] = []
    for message in messages:
        blocks = _blocks(message)
        if message.role == "system" or not blocks:
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += blocks
        else:
            merged.append({"role": role, "content": blocks})
    return merged


def _blocks(message: ChatMessage) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": message.content}]
    text: list[dict[str, Any]] = [{"type": "text", "text": message.content}] if message.content.strip() else []
    calls = [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
        for call in message.tool_calls
    ]
    return text + [_image(image) for image in message.images] + calls


def _input(arguments: str) -> Any:
    try:
        value = msgspec.json.decode(arguments or "{}")
    except msgspec.DecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _image(image: Image) -> dict[str, Any]:
    if not image.url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    kind, _, data = image.url[5:].partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
