"""The offline model as a provider sees it: a request in, the pieces of an answer out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from parley_llm_gateway.offline import summary
from parley_llm_gateway.offline.decide import Decision, decide
from parley_llm_gateway.offline.situation import read
from parley_llm_gateway.offline.turn import Call
from parley_proto.envelope import digest
from parley_proto.llm import CompletionRequest, Finished, TextDelta, ToolCall, ToolCalled, Usage

MODEL = "parley-offline-1"
_DELTA_WORDS = 6
_CHARS_PER_TOKEN = 4
_WORD = re.compile(r"\s*\S+")


def pieces(request: CompletionRequest, model: str = MODEL) -> Iterator[TextDelta | ToolCalled | Finished]:
    """Text in several deltas or one tool call, then `Finished`. The same request gives the same pieces."""
    decision = _decision(request)
    prompt = sum(len(message.content) for message in request.messages) // _CHARS_PER_TOKEN
    if decision.call:
        call = _tool_call(request, decision.call)
        yield ToolCalled(call)
        yield Finished("tool_calls", model, Usage(prompt, len(call.arguments) // _CHARS_PER_TOKEN + 1), offline=True)
        return
    yield from _text(request, decision, prompt, model)


def _decision(request: CompletionRequest) -> Decision:
    if summary.is_asked(request):
        return Decision(summary.summary(request))
    return decide(read(request.messages, request.tools))


def _text(
    request: CompletionRequest, decision: Decision, prompt: int, model: str
) -> Iterator[TextDelta | ToolCalled | Finished]:
    words = _WORD.findall(decision.text)
    allowed = len(words) if request.max_tokens is None else min(len(words), request.max_tokens)
    for start in range(0, allowed, _DELTA_WORDS):
        yield TextDelta("".join(words[start : min(start + _DELTA_WORDS, allowed)]))
    reason: Literal["stop", "length"] = "stop" if allowed == len(words) else "length"
    yield Finished(reason, model, Usage(prompt, allowed), offline=True)


def _tool_call(request: CompletionRequest, call: Call) -> ToolCall:
    arguments = msgspec.json.encode(call.arguments).decode()
    place = str(len(request.messages))
    return ToolCall("call_" + digest(request.conversation, place, call.tool, arguments)[:24], call.tool, arguments)
