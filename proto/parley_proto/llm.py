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


class Image(msgspec.Struct, frozen=True, omit_defaults=True):
    """A picture for the model: an https or data URL, passed through and never fetched by us."""

    url: str
    detail: str = ""


class ChatMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. `images` follow the text of a user's message."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: list[ToolCall] = []
    tool_call_id: str = ""
    name: str = ""
    images: list[Image] = []


class ToolSpec(msgspec.Struct, frozen=True):
    """`parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: dict[str, Any]


class CompletionRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One completion; `deadline_at` is absolute, wall-clock milliseconds. `model` overrides the tier's own.

    `key` names the caller's key, for budgets. A cancel may name `turn_id` instead of the request. A request of a
    higher `epoch` supersedes those of its conversation with a lower one; 0 takes no part. With a `lease_s` (seconds)
    the caller renews its interest on `llm.renew.<request_id>`, or the completion ends. Empty `residency`: anywhere.
    `tool_choice` is auto, none, required, or a tool's name; `response_format` is OpenAI's object.
    `prompt_version` tells the cache which wording of prompts and tools this is; `cacheable` that it may be reused.
    """

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
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] = []
    tool_choice: str = "auto"
    response_format: dict[str, Any] | None = None
    key: str = ""
    turn_id: str = ""
    epoch: int = 0
    lease_s: float = 0.0
    residency: str = ""
    cacheable: bool = False
    prompt_version: str = ""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens; `cached_tokens` of the prompt were read from the provider's cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


class Alive(msgspec.Struct, frozen=True, tag=True):
    """Sent at once and every second while nothing else is: silence means that the gateway is gone."""

    request_id: str


class TextDelta(msgspec.Struct, frozen=True, tag=True):
    text: str


class ToolCalled(msgspec.Struct, frozen=True, tag=True):
    """A complete tool call; several may follow each other."""

    call: ToolCall


class StreamReset(msgspec.Struct, frozen=True, tag=True):
    """All text so far is void: the answer starts again from nothing with `attempt` (2 and up)."""

    attempt: int
    reason: str


class Finished(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The end of a completion that succeeded. `model` is the one that really answered, of `provider`.

    `cost` is in millionths of the currency of the price list; None where no price is known.
    """

    reason: Literal["stop", "tool_calls", "length", "content_filter"]
    model: str
    usage: Usage
    offline: bool = False
    provider: str = ""
    cost: int | None = None
    cached: bool = False


class Failed(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The end of a completion that failed; `retryable` says whether another try may help.

    `partial`: words went out before, and they are not the whole answer. `retry_after` is in seconds.
    """

    code: str
    message: str
    retryable: bool
    partial: bool = False
    retry_after: float | None = None


CompletionEvent = Alive | TextDelta | ToolCalled | StreamReset | Finished | Failed


class VectorsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Embed `texts`, in order; `model` as the llm-gateway knows it, empty for its default."""

    request_id: str
    tenant: str
    texts: list[str]
    deadline_at: int
    model: str = ""
    key: str = ""
    dimensions: int | None = None


class VectorsReply(msgspec.Struct, frozen=True):
    """`vectors` are little-endian float32, one text after the other, `dimensions` each."""

    model: str
    dimensions: int
    vectors: bytes
    prompt_tokens: int
