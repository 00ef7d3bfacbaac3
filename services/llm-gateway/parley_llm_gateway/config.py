"""Providers, models, tiers, budgets: all that decides who is asked for what. Complete and consistent. Pure."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from parley_llm_gateway.prices import Price, prices_date, snapshot_price
from parley_llm_gateway.providers.base import Pace
from parley_llm_gateway.settings import Settings, read_keys

OFFLINE = "parley"
OFFLINE_MODEL = "parley-offline-1"
TIERS = ("fast", "standard", "deep")
CAPABILITIES = frozenset({"tools", "vision", "json", "embeddings"})
# The one form of JSON that the offline model knows; who can do any can do this.
SUMMARIES = "summaries"
_ANTHROPIC = "api.anthropic.com"


class ProviderConfig(msgspec.Struct, frozen=True):
    """One account at one place. `hosted` ones say 429 when it is too much; local engines only become slow."""

    name: str
    kind: Literal["openai", "anthropic", "offline"]
    base_url: str = ""
    api_key: str = ""
    api_key_env: str = ""
    region: str = ""
    hosted: bool = True
    max_connections: int = 1000
    pace: Pace = Pace()


class ModelConfig(msgspec.Struct, frozen=True):
    """`name` is the provider's own; `context` in tokens, 0 where unknown."""

    id: str
    provider: str
    name: str
    context: int = 0
    capabilities: frozenset[str] = frozenset({"tools", "json"})
    price: Price | None = None
    max_output: int = 4096


class Candidate(msgspec.Struct, frozen=True):
    """Lower ranks come first; inside one rank the weights decide."""

    model: str
    rank: int
    weight: float = 1.0


class TierConfig(msgspec.Struct, frozen=True):
    name: str
    candidates: tuple[Candidate, ...]
    prefer: Literal["order", "cost"] = "order"


class LimitConfig(msgspec.Struct, frozen=True):
    """`amount` in millionths of the currency each `window_s` seconds, 0 for ever; name `*` is each one by itself."""

    scope: Literal["tenant", "key", "conversation"]
    name: str
    amount: int
    window_s: int


class CallerConfig(msgspec.Struct, frozen=True):
    name: str
    key: str
    tenant: str = "default"


class BreakerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    calls: int = 20
    share: float = 0.5
    window_s: float = 60.0
    rest_s: float = 5.0
    longest_s: float = 60.0


class Concurrency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start: int = 64
    least: int = 4
    most: int = 1000


class QueueConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    length: int = 256
    wait_s: float = 5.0


class RetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    share: float = 0.15
    floor: int = 3


class CacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entries: int = 2000
    bytes: int = 20_000_000
    ttl_s: float = 600.0


class Config(msgspec.Struct, frozen=True):
    """Everything, complete and consistent: each candidate has its model, each model its provider."""

    providers: dict[str, ProviderConfig]
    models: dict[str, ModelConfig]
    tiers: dict[str, TierConfig]
    limits: tuple[LimitConfig, ...] = ()
    callers: tuple[CallerConfig, ...] = ()
    embeddings: str = ""
    first_delta_floor_s: float = 5.0
    max_output_chars: int = 400_000
    breaker: BreakerConfig = BreakerConfig()
    concurrency: Concurrency = Concurrency()
    queue: QueueConfig = QueueConfig()
    retries: RetryConfig = RetryConfig()
    cache: CacheConfig = CacheConfig()
    prices_date: str = prices_date()


def from_settings(settings: Settings) -> Config:
    """The environment's short form: one provider, or none, and always the offline model."""
    providers = {OFFLINE: ProviderConfig(OFFLINE, "offline")}
    models: dict[str, ModelConfig] = {}
    if settings.provider_url:
        pace = Pace(settings.connect_s, settings.first_delta_s, settings.inter_delta_s)
        kind: Literal["openai", "anthropic"] = (
            "anthropic" if urlsplit(settings.provider_url).hostname == _ANTHROPIC else "openai"
        )
        providers["default"] = ProviderConfig(
            "default", kind, settings.provider_url, settings.api_key, max_connections=settings.max_running, pace=pace
        )
        for name in settings.provider_models:
            models[name] = ModelConfig(name, "default", name, 0, CAPABILITIES, snapshot_price(name))
    first = next(iter(models), OFFLINE_MODEL)
    models[OFFLINE_MODEL] = offline_model()
    tiers = {name: TierConfig(name, (Candidate(first, 0),)) for name in TIERS}
    callers = tuple(CallerConfig(name, key) for key, name in read_keys(settings.caller_keys).items())
    floor = min(5.0, settings.first_delta_s)
    most = settings.max_running
    concurrency = Concurrency(min(64, most), min(4, most), most)
    return Config(
        providers,
        models,
        tiers,
        callers=callers,
        first_delta_floor_s=floor,
        max_output_chars=settings.max_output_chars,
        concurrency=concurrency,
    )


def offline_model() -> ModelConfig:
    """The model that always exists, and costs nothing."""
    return ModelConfig(OFFLINE_MODEL, OFFLINE, OFFLINE_MODEL, 0, frozenset({"tools", SUMMARIES}), Price(0, 0, 0))
