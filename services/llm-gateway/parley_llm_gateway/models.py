"""The configured models with all their state. Replaced whole by a reload; what did not change is carried over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from parley_llm_gateway import genai, routing
from parley_llm_gateway.batching import Batcher
from parley_llm_gateway.budget import Budgets
from parley_llm_gateway.cache import Cache
from parley_llm_gateway.config import Config, ProviderConfig
from parley_llm_gateway.prices import estimate
from parley_llm_gateway.providers.base import Provider, Vectors
from parley_llm_gateway.providers.kinds import provider_of
from parley_llm_gateway.retry_budget import RetryBudget
from parley_llm_gateway.routing import Health, Sticky
from parley_llm_gateway.target import Target, entered, silent_first
from parley_proto.llm import CompletionRequest

Opens = Callable[[ProviderConfig], Provider]
# Callers have deadlines of their own; this only bounds a batch that nobody waits for.
_EMBED_S = 60.0
_UNKNOWN = Health(True, 1.0, 0.0)


class Models:
    """Targets by model id, and what they share. `previous` hands over pools, breakers and spending."""

    def __init__(self, config: Config, previous: Models | None = None, opens: Opens = provider_of) -> None:
        self.config = config
        self.providers: dict[str, Provider] = {}
        self.targets: dict[str, Target] = {}
        self.cache: Cache = previous.cache if previous else _cache(config)
        self.sticky: Sticky = previous.sticky if previous else Sticky()
        self.retries = RetryBudget(config.retries.share, config.retries.floor)
        self.budgets: Budgets = Budgets(config.limits, previous=previous.budgets if previous else None)
        for name, provider in config.providers.items():
            self.providers[name] = _kept(previous, provider) or opens(provider)
        for name in config.models:
            self.targets[name] = self._target(name, previous)
        self.batchers = {name: _batcher(target) for name, target in self.targets.items()}

    def plan(self, request: CompletionRequest) -> list[Target]:
        """Whom to ask, in order. PermanentError: unknown_model, unknown_tier, no_candidate."""
        need = routing.need_of(request)
        key = f"{request.tenant}/{request.conversation}"
        models = routing.plan(self.config, need, key, self.sticky.of(_sticky_key(request)), self._health)
        return [self.targets[model.id] for model in models]

    def remember(self, request: CompletionRequest, target: Target) -> None:
        """The conversation stays with the target that answered it, where there is a choice."""
        if request.conversation and not request.model and len(self.config.tiers[request.tier].candidates) > 1:
            self.sticky.put(_sticky_key(request), target.model.id)

    def most_it_may_cost(self, targets: list[Target], chars: int, max_tokens: int | None) -> int | None:
        """In millionths; None where one of the targets has no price."""
        amounts = [estimate(t.model.price, chars, max_tokens or t.model.max_output) for t in targets]
        known = [amount for amount in amounts if amount is not None]
        return max(known) if len(known) == len(amounts) else None

    async def retire(self, successor: Models | None, patience_s: float) -> None:
        """Close what the successor did not take over, once nothing runs on it any more."""
        kept = {id(provider) for provider in successor.providers.values()} if successor else set()
        for name, provider in self.providers.items():
            if id(provider) in kept:
                continue
            await self._idle(name, patience_s)
            await provider.close()

    def _health(self, model: str) -> Health:
        target = self.targets.get(model)
        return target.health if target else _UNKNOWN

    def _target(self, name: str, previous: Models | None) -> Target:
        model = self.config.models[name]
        old = previous.targets.get(name) if previous else None
        provider = self.providers[model.provider]
        same = old and old.model == model and old.provider is provider and previous and _rules(previous) == _rules(self)
        return old if old and same else Target(model, self.config.providers[model.provider], provider, self.config)

    async def _idle(self, provider: str, patience_s: float) -> None:
        mine = [target for target in self.targets.values() if target.model.provider == provider]
        try:
            async with asyncio.timeout(patience_s):
                while any(target.inflight for target in mine):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            return


def _kept(previous: Models | None, provider: ProviderConfig) -> Provider | None:
    same = previous and previous.config.providers.get(provider.name) == provider
    return previous.providers[provider.name] if previous and same else None


def _cache(config: Config) -> Cache:
    return Cache(config.cache.entries, config.cache.bytes, config.cache.ttl_s)


def _sticky_key(request: CompletionRequest) -> str:
    """By tier as well: a summary by the fast tier must not move the conversation to another model."""
    return f"{request.tenant}/{request.conversation}/{request.tier}"


def _batcher(target: Target) -> Batcher:
    async def upstream(texts: Sequence[str], dimensions: int | None) -> Vectors:
        async def work() -> Vectors:
            with genai.embeddings_span(target.model.id, target.provider):
                return await target.provider.embed(texts, target.model.name, dimensions)

        slot = await entered(target, "", _EMBED_S)
        return await target.guarded(work, slot, silent_first())

    return Batcher(upstream)


def _rules(models: Models) -> tuple[object, ...]:
    config = models.config
    return config.breaker, config.concurrency, config.queue, config.first_delta_floor_s
