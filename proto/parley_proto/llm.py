"""Completions between specialists and the llm-gateway: OpenAI's shapes, as structs."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Tier = Literal["fast", "standard", "deep"]


class ToolCall(msgspec.Struct, frozen=True):
    """A model's wish to call a tool. `arguments` is the JSON text as the model wrote it: data, to be checked."""

    id: str
    name: str
    arguments: str


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""
    name: str = ""


class ToolSpec(msgspec.Struct, frozen=True):
    """`parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


class CompletionRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One completion; `deadline_at` is absolute, wall-clock milliseconds. `model` overrides the tier's own."""

    request_id: str
    tenant: str
    conversation: str
    messages: list[ChatMessage]
    deadline_at: int
    tools: list[ToolSpec] = []
    tier: Tier = "standard"
    model: str = ""
    temperature: float | None = None
    max_tokens: int | None = None


class Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Sent at once and every second while nothing else is: silence means that the gateway is gone."""

    request_id: str


class TextDelta(msgspec.Struct, frozen=True, tag=True):
    text: str


class ToolCalled(msgspec.Struct, frozen=True, tag=True):
    """A complete tool call; several may follow each other."""

    call: ToolCall


class Finished(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The end of a completion that succeeded. `model` is the one that really answered."""

    reason: Literal["stop", "tool_calls", "length", "content_filter"]
    model: str
    usage: Usage
    offline: bool = False


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The end of a completion that failed; `retryable` says whether another try may help."""

    code: str
    message: str
    retryable: bool


CompletionEvent = Alive | TextDelta | ToolCalled | Finished | Failed
