"""One model at one provider with all that guards it: breaker, concurrency limit, first-delta timer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import msgspec

from parley_llm_gateway import genai, metrics
from parley_llm_gateway.breaker import Breaker, Rules
from parley_llm_gateway.config import Config, ModelConfig, ProviderConfig
from parley_llm_gateway.errors import ProviderBusy, ProviderFailed
from parley_llm_gateway.first_delta import FirstDelta
from parley_llm_gateway.limiter import Limiter, Slot
from parley_llm_gateway.providers.base import Call, Emit, Provider
from parley_llm_gateway.routing import Health
from parley_proto.errors import ParleyError
from parley_proto.llm import CompletionRequest, Finished, TextDelta, ToolCalled

T = TypeVar("T")
Outcome = Literal["ok", "busy", "timeout", "neutral"]
SILENCE = ("no_first_delta", "stalled", "too_slow", "unreachable")
_OPENNESS = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
_MEMORY = 0.95


class Target:
    """Calls `provider` for `model`; everything it learns by that stays with it."""

    def __init__(self, model: ModelConfig, config: ProviderConfig, provider: Provider, rules: Config) -> None:
        self.model = model
        self.config = config
        self.provider = provider
        self.inflight = 0
        self.seen = metrics.Seen(config.name, model.id)
        self.breaker = Breaker(_rules(rules), changed=lambda state: self.seen.breaker.set(_OPENNESS[state]))
        self.limiter = Limiter(
            rules.concurrency.start,
            rules.concurrency.least,
            rules.concurrency.most,
            hosted=config.hosted,
            queue_length=rules.queue.length,
            queue_wait_s=rules.queue.wait_s,
        )
        self._first_delta = FirstDelta(rules.first_delta_floor_s, config.pace.first_delta_s)
        self._most = rules.max_output_chars
        self._success, self._cached = 1.0, 0.0

    @property
    def health(self) -> Health:
        """How the router sees it: rolling shares of successes and of prompt tokens that came from a cache."""
        return Health(self.breaker.admits, self._success, self._cached)

    async def complete(self, request: CompletionRequest, emit: Emit, number: int, slot: Slot, force: bool) -> Finished:
        """One attempt in its own span; `slot` is given back whatever happens."""
        first = _First(emit)
        pace = msgspec.structs.replace(self.config.pace, first_delta_s=self._first_delta.seconds())
        call = Call(request, self.model.name, pace, self._most, request.max_tokens or self.model.max_output)

        async def work() -> Finished:
            with genai.attempt_span(request, self.model.id, self.provider, number) as span:
                finished = await self.provider.complete(call, first)
                genai.record(span, finished)
                return finished

        finished = await self.guarded(work, slot, first, force)
        usage = finished.usage
        share = usage.cached_tokens / usage.prompt_tokens if usage.prompt_tokens else 0.0
        self._cached = _MEMORY * self._cached + (1 - _MEMORY) * share
        return finished

    async def guarded(self, work: Callable[[], Awaitable[T]], slot: Slot, first: _First, force: bool = False) -> T:
        """`work` under the breaker, its outcome learned at its very end."""
        outcome: Outcome = "neutral"
        code = genai.CANCELLED
        self.inflight += 1
        try:
            with self.breaker.admit(force):
                result = await work()
            outcome, code = "ok", "ok"
            return result
        except ParleyError as error:
            outcome, code = _outcome(error), error.code
            raise
        finally:
            self.inflight -= 1
            self._learn(code, first)
            slot.leave(outcome, first.seconds)
            self.seen.limit.set(self.limiter.limit)
            self.seen.attempt(code)

    def _learn(self, code: str, first: _First) -> None:
        if code == "no_first_delta":
            # It may have become slower than what was learned: what is cut off teaches too, or nothing ever would.
            self._first_delta.seen(self._first_delta.seconds())
        if first.seconds is not None:
            self._first_delta.seen(first.seconds)
            self.seen.first_token.observe(first.seconds)
        if code not in (genai.CANCELLED, "provider_resting"):
            self._success = _MEMORY * self._success + (1 - _MEMORY) * (code == "ok")


class _First:
    """Notes when the first piece came. `seconds` is None until then."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._start = time.monotonic()
        self.seconds: float | None = None

    def __call__(self, piece: TextDelta | ToolCalled) -> None:
        if self.seconds is None:
            self.seconds = time.monotonic() - self._start
        self._emit(piece)


def silent_first() -> _First:
    """For calls whose answer comes whole."""
    return _First(lambda piece: None)


def _outcome(error: ParleyError) -> Outcome:
    if isinstance(error, ProviderBusy):
        return "busy"
    return "timeout" if isinstance(error, ProviderFailed) and error.code in SILENCE else "neutral"


def _rules(config: Config) -> Rules:
    breaker = config.breaker
    return Rules(breaker.calls, breaker.share, breaker.window_s, breaker.rest_s, breaker.longest_s)


async def entered(target: Target, tenant: str, seconds: float) -> Slot:
    """A slot of the target at once, or after a wait in its queue. Raises Overloaded."""
    slot = target.limiter.try_enter()
    if slot:
        return slot
    metrics.queued.inc()
    try:
        return await target.limiter.enter(tenant, seconds)
    finally:
        metrics.queued.dec()
