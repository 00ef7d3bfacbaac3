"""Chunks of a provider's stream put together: text as it comes, tool calls when they are whole. Pure."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.providers.base import Call, Emit
from parley_llm_gateway.wire import Choice, Chunk, Delta, Fragment, Tokens
from parley_proto.llm import Finished, TextDelta, ToolCall, ToolCalled, Usage

Reason = Literal["stop", "tool_calls", "length", "content_filter"]
_REASONS: dict[str, Reason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_CHARS_PER_TOKEN = 4


class _Made:
    def __init__(self, fragment: Fragment) -> None:
        self.index = fragment.index
        self.id = fragment.id or ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, fragment: Fragment) -> int:
        """Takes the fragment in; how many characters it brought."""
        function = fragment.function
        if function is None:
            return 0
        self.name = self.name or function.name or ""
        text = _text(function.arguments)
        self.arguments.append(text)
        return len(text)


class Assembly:
    """One answer in the making, of a bounded size: a provider that never stops is cut off."""

    def __init__(self, call: Call) -> None:
        self._request = call.request
        self._own_model = call.model
        self._limit = call.max_output_chars
        self._size = 0
        self._calls: list[_Made] = []
        self._reason = ""
        self._model = ""
        self._usage: Tokens | None = None

    @property
    def finished(self) -> bool:
        """True once the provider gave a finish reason."""
        return bool(self._reason)

    @property
    def complete(self) -> bool:
        """True once nothing more is worth waiting for."""
        return self.finished and self._usage is not None

    def take(self, chunk: Chunk) -> tuple[TextDelta | None, int]:
        """The text that `chunk` adds, and by how many characters it moved the answer on.

        A role, a ping or an empty delta moves nothing. Raises ProviderFailed past the limit.
        """
        self._model = chunk.model or self._model
        self._usage = chunk.usage or self._usage
        text, moved = "", 0
        for choice in chunk.choices or []:
            if not choice.index:
                said, progress = self._choice(choice)
                text, moved = text + said, moved + progress
        if self._size > self._limit:
            raise ProviderFailed("The model's answer did not end in time.", code="answer_too_long")
        return (TextDelta(text) if text else None), moved

    def calls(self) -> list[ToolCalled]:
        """The whole tool calls; one that `length` cut in the middle is left out."""
        whole = [call for call in self._calls if call.name and (self._reason != "length" or _is_json(call))]
        return [ToolCalled(ToolCall(self._id_of(call, n), call.name, _arguments(call))) for n, call in enumerate(whole)]

    def result(self, model: str) -> Finished:
        """How the answer ended. ProviderFailed where it did not, or where it is empty."""
        if not self._reason:
            raise ProviderFailed("The model provider's stream broke off.", code="stream_cut")
        reason = _REASONS.get(self._reason, "stop")
        called = bool(self.calls())
        if reason == "stop" and called:
            reason = "tool_calls"
        if (reason == "stop" and not self._size) or (reason == "tool_calls" and not called):
            raise ProviderFailed("The model provider sent an empty answer.", code="empty_answer")
        return Finished(reason, self._model or model, self._counted())

    def end(self, emit: Emit, provider: str) -> Finished:
        """Emit the tool calls, now that they are whole; the end. ProviderFailed where there is none."""
        result = self.result(self._own_model)
        for call in self.calls():
            emit(call)
        return msgspec.structs.replace(result, provider=provider)

    def _choice(self, choice: Choice) -> tuple[str, int]:
        self._reason = choice.finish_reason or self._reason
        delta = choice.delta or choice.message or Delta()
        text = (delta.content or "") + (delta.refusal or "")
        called = sum(self._call_of(fragment).add(fragment) + 1 for fragment in delta.tool_calls or [])
        self._size += len(text) + called
        thought = delta.reasoning_content or delta.reasoning or ""
        return text, len(text) + called + len(thought) + bool(choice.finish_reason)

    def _call_of(self, fragment: Fragment) -> _Made:
        for call in reversed(self._calls):
            if _same(call, fragment):
                return call
        self._calls.append(_Made(fragment))
        return self._calls[-1]

    def _id_of(self, call: _Made, number: int) -> str:
        """The provider's id, else one that no other completion of the conversation uses."""
        return call.id or f"call_{self._request.request_id[-16:]}_{number}"

    def _counted(self) -> Usage:
        """The provider's count, else an estimate of four characters a token."""
        prompt = sum(len(message.content) for message in self._request.messages)
        used = self._usage or Tokens()
        prompt_tokens = used.prompt_tokens if used.prompt_tokens is not None else _estimate(prompt)
        written = used.completion_tokens if used.completion_tokens is not None else _estimate(self._size)
        details = used.prompt_tokens_details
        return Usage(prompt_tokens, written, (details.cached_tokens or 0) if details else 0)


def _same(call: _Made, fragment: Fragment) -> bool:
    """Whether `fragment` continues `call`; some servers give every call index 0, others give no index."""
    other_id = bool(fragment.id and call.id and fragment.id != call.id)
    if fragment.index is None or call.index is None:
        return not other_id and not (fragment.function and fragment.function.name and call.name)
    return fragment.index == call.index and not other_id


def _text(arguments: str | dict[str, Any] | None) -> str:
    return msgspec.json.encode(arguments).decode() if isinstance(arguments, dict) else arguments or ""


def _arguments(call: _Made) -> str:
    return "".join(call.arguments).strip() or "{}"


def _is_json(call: _Made) -> bool:
    try:
        msgspec.json.decode(_arguments(call))
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True


def _estimate(chars: int) -> int:
    return -(-chars // _CHARS_PER_TOKEN)
