"""The llm-gateway's completions against a provider that plays scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from parley_llm_gateway.completions import Bounds, Completions
from parley_llm_gateway.models import Models
from parley_llm_gateway.reload import read
from parley_llm_gateway.settings import Settings
from parley_proto.envelope import new_id, now_ms
from parley_proto.llm import (
    Alive,
    ChatMessage,
    CompletionEvent,
    CompletionRequest,
    Failed,
    Finished,
    StreamReset,
    TextDelta,
    ToolCall,
    ToolCalled,
)
from parley_testkit.fake_provider import FakeProvider

KEY = "sk-test-0123456789"


def settings_for(provider: FakeProvider, **changes: object) -> Settings:
    settings = Settings(
        base_url=provider.url, api_key=KEY, model="fake-model-1", connect_s=1, first_delta_s=2, inter_delta_s=2
    )
    return msgspec.structs.replace(settings, **changes)


def asking(text: str = "Hello", *, seconds: float = 10, **changes: object) -> CompletionRequest:
    request = CompletionRequest(
        request_id=new_id("r"),
        tenant="default",
        conversation="c" * 20,
        messages=[ChatMessage("user", text)],
        deadline_at=now_ms() + int(seconds * 1000),
    )
    return msgspec.structs.replace(request, **changes)


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Completions]:
    models = Models(read(settings))
    try:
        yield Completions(models, Bounds(settings.max_running, settings.total_s))
    finally:
        await models.retire(None, 0.0)


class Told:
    """What a caller got: everything in order, and the parts."""

    def __init__(self) -> None:
        self.events: list[CompletionEvent] = []

    @property
    def text(self) -> str:
        last = max((n for n, event in enumerate(self.events) if isinstance(event, StreamReset)), default=0)
        return "".join(event.text for event in self.events[last:] if isinstance(event, TextDelta))

    @property
    def resets(self) -> list[StreamReset]:
        return [event for event in self.events if isinstance(event, StreamReset)]

    @property
    def calls(self) -> list[ToolCall]:
        return [event.call for event in self.events if isinstance(event, ToolCalled)]

    @property
    def finished(self) -> Finished:
        end = self.end
        assert isinstance(end, Finished), end
        return end

    @property
    def failed(self) -> Failed:
        end = self.end
        assert isinstance(end, Failed), end
        return end

    @property
    def end(self) -> CompletionEvent:
        ends = [event for event in self.events if isinstance(event, Finished | Failed)]
        assert len(ends) == 1, self.events
        assert self.events[-1] is ends[0]
        return ends[0]


async def told(completions: Completions, request: CompletionRequest) -> Told:
    result = Told()
    async for event in completions.events(request):
        result.events.append(event)
    assert isinstance(result.events[0], Alive)
    return result
