"""The TOML file of the models: checked whole before anything runs on it, refused with the line that is wrong. Pure."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from parley_llm_gateway.config import (
    CAPABILITIES,
    OFFLINE,
    OFFLINE_MODEL,
    TIERS,
    BreakerConfig,
    CacheConfig,
    CallerConfig,
    Candidate,
    Concurrency,
    Config,
    LimitConfig,
    ModelConfig,
    ProviderConfig,
    QueueConfig,
    RetryConfig,
    TierConfig,
    offline_model,
)
from parley_llm_gateway.config_lines import Lines
from parley_llm_gateway.prices import Price, micros, snapshot_price
from parley_llm_gateway.providers.base import Pace

WINDOWS = {"hour": 3600, "day": 86_400, "month": 30 * 86_400, "forever": 0}
_MIN_KEY = 16


class _Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    connect_s: float = 2.0
    first_delta_s: float = 20.0
    first_delta_floor_s: float = 5.0
    inter_delta_s: float = 15.0
    min_chars_per_s: float = 2.0
    slow_window_s: float = 10.0

    def pace(self) -> Pace:
        return Pace(self.connect_s, self.first_delta_s, self.inter_delta_s, self.min_chars_per_s, self.slow_window_s)


class _ProviderTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["openai", "anthropic"]
    base_url: str
    api_key_env: str = ""
    region: str = ""
    hosted: bool = True
    max_connections: int = 1000


class _PriceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    input: int
    output: int
    cached: int | None = None


class _ModelTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    provider: str
    name: str = ""
    context: int = 0
    capabilities: tuple[str, ...] = ("tools", "json")
    price: _PriceTable | None = None
    max_output: int = 4096


class _CandidateTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    rank: int | None = None
    weight: float = 1.0


class _TierTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    candidates: list[str | _CandidateTable]
    prefer: Literal["order", "cost"] = "order"


class _BudgetTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    scope: Literal["tenant", "key", "conversation"]
    amount: str | float
    name: str = "*"
    window: Literal["hour", "day", "month", "forever"] = "day"


class _CallerTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str = ""
    key_env: str = ""
    tenant: str = "default"


class _EmbeddingsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    providers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    tiers: dict[str, Any] = {}
    budgets: list[Any] = []
    callers: dict[str, Any] = {}
    embeddings: dict[str, Any] = {}
    timeouts: dict[str, Any] = {}
    breaker: dict[str, Any] = {}
    concurrency: dict[str, Any] = {}
    queue: dict[str, Any] = {}
    retries: dict[str, Any] = {}
    cache: dict[str, Any] = {}


def parse(text: str, path: str, environ: Mapping[str, str]) -> Config:
    """The configuration in `text`. SettingsError begins with `path:line`, and names what is wrong and what to do."""
    lines = Lines(text, path)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise lines.unreadable(error) from error
    file = lines.table(content, _File, ())
    timeouts = lines.table(file.timeouts, _Timeouts, ("timeouts",))
    _check_numbers(content, lines, ())
    reader = _Reader(lines, environ, timeouts)
    providers = {OFFLINE: ProviderConfig(OFFLINE, "offline")}
    providers |= {name: reader.provider(name, table) for name, table in file.providers.items()}
    models = {name: reader.model(name, table, providers) for name, table in file.models.items()}
    models[OFFLINE_MODEL] = offline_model()
    tiers = _complete({name: reader.tier(name, table, models) for name, table in file.tiers.items()}, lines)
    limits = tuple(reader.limit(number, table) for number, table in enumerate(file.budgets))
    reader.check_prices(limits, models)
    return Config(
        providers=providers,
        models=models,
        tiers=tiers,
        limits=limits,
        callers=reader.callers(file.callers),
        embeddings=reader.embeddings(file.embeddings, models),
        first_delta_floor_s=timeouts.first_delta_floor_s,
        breaker=lines.table(file.breaker, BreakerConfig, ("breaker",)),
        concurrency=reader.concurrency(file.concurrency),
        queue=lines.table(file.queue, QueueConfig, ("queue",)),
        retries=lines.table(file.retries, RetryConfig, ("retries",)),
        cache=lines.table(file.cache, CacheConfig, ("cache",)),
    )


class _Reader:
    """Turns the file's tables into parts of the configuration; each refusal has its line."""

    def __init__(self, lines: Lines, environ: Mapping[str, str], timeouts: _Timeouts) -> None:
        self._lines = lines
        self._environ = environ
        self._timeouts = timeouts

    def provider(self, name: str, table: Any) -> ProviderConfig:
        at = ("providers", name)
        read = self._lines.table(table, _ProviderTable, at)
        if name == OFFLINE:
            raise self._lines.error(at, f"the name {OFFLINE!r} belongs to the offline model; take another")
        parts = urlsplit(read.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            text = "base_url must be an http or https address without user and query"
            raise self._lines.error((*at, "base_url"), text)
        if read.max_connections < 1:
            raise self._lines.error((*at, "max_connections"), "max_connections must be 1 or more")
        return ProviderConfig(
            name,
            read.kind,
            read.base_url.rstrip("/"),
            self._secret(read.api_key_env, (*at, "api_key_env")) if read.api_key_env else "",
            read.api_key_env,
            read.region,
            read.hosted,
            read.max_connections,
            self._timeouts.pace(),
        )

    def model(self, name: str, table: Any, providers: Mapping[str, ProviderConfig]) -> ModelConfig:
        at = ("models", name)
        read = self._lines.table(table, _ModelTable, at)
        if read.provider not in providers:
            raise self._lines.error((*at, "provider"), self._lines.unknown("provider", read.provider, providers))
        for capability in read.capabilities:
            if capability not in CAPABILITIES:
                text = self._lines.unknown("capability", capability, CAPABILITIES)
                raise self._lines.error((*at, "capabilities"), text)
        own = read.name or name
        price = Price(read.price.input, read.price.output, read.price.cached) if read.price else snapshot_price(own)
        capabilities = frozenset(read.capabilities)
        return ModelConfig(name, read.provider, own, read.context, capabilities, price, read.max_output)

    def tier(self, name: str, table: Any, models: Mapping[str, ModelConfig]) -> TierConfig:
        at = ("tiers", name)
        if name not in TIERS:
            raise self._lines.error(at, self._lines.unknown("tier", name, TIERS))
        read = self._lines.table(table, _TierTable, at)
        if not read.candidates:
            raise self._lines.error((*at, "candidates"), "a tier needs at least one candidate")
        candidates = []
        for place, item in enumerate(read.candidates):
            wish = _CandidateTable(item) if isinstance(item, str) else item
            if wish.model not in models:
                raise self._lines.error((*at, "candidates"), self._lines.unknown("model", wish.model, models))
            if wish.weight <= 0:
                raise self._lines.error((*at, "candidates"), "a weight must be above 0")
            candidates.append(Candidate(wish.model, place if wish.rank is None else wish.rank, wish.weight))
        return TierConfig(name, tuple(candidates), read.prefer)

    def limit(self, number: int, table: Any) -> LimitConfig:
        at = ("budgets", str(number))
        read = self._lines.table(table, _BudgetTable, at)
        try:
            amount = micros(str(read.amount))
        except ValueError as error:
            raise self._lines.error((*at, "amount"), f"amount {error}") from error
        return LimitConfig(read.scope, read.name, amount, WINDOWS[read.window])

    def check_prices(self, limits: tuple[LimitConfig, ...], models: Mapping[str, ModelConfig]) -> None:
        for model in models.values() if limits else ():
            if model.price is None:
                text = f"budgets are set, but {model.id!r} has no price: add price = {{input = …, output = …}}"
                raise self._lines.error(("models", model.id), text)

    def callers(self, tables: Mapping[str, Any]) -> tuple[CallerConfig, ...]:
        found: list[CallerConfig] = []
        for name, table in tables.items():
            at = ("callers", name)
            read = self._lines.table(table, _CallerTable, at)
            key = read.key or self._secret(read.key_env, (*at, "key_env"))
            if len(key) < _MIN_KEY:
                raise self._lines.error(at, f"its key must have at least {_MIN_KEY} characters")
            if any(other.key == key for other in found):
                raise self._lines.error(at, "another caller has the same key")
            found.append(CallerConfig(name, key, read.tenant))
        return tuple(found)

    def embeddings(self, table: Any, models: Mapping[str, ModelConfig]) -> str:
        name = self._lines.table(table, _EmbeddingsTable, ("embeddings",)).model
        if name and (name not in models or "embeddings" not in models[name].capabilities):
            able = [model.id for model in models.values() if "embeddings" in model.capabilities]
            text = self._lines.unknown("model with the capability embeddings", name, able)
            raise self._lines.error(("embeddings", "model"), text)
        return name

    def concurrency(self, table: Any) -> Concurrency:
        read = self._lines.table(table, Concurrency, ("concurrency",))
        if not 1 <= read.least <= read.start <= read.most:
            raise self._lines.error(("concurrency",), "1 <= least <= start <= most must hold")
        return read

    def _secret(self, variable: str, at: tuple[str, ...]) -> str:
        value = self._environ.get(variable, "")
        if not value:
            raise self._lines.error(at, f"the environment variable {variable or '(none named)'} is empty: set it")
        if any(not 33 <= ord(char) <= 126 for char in value):
            raise self._lines.error(at, f"{variable} has spaces or characters that no HTTP header can carry")
        return value


def _check_numbers(content: Any, lines: Lines, at: tuple[str, ...]) -> None:
    """TOML knows nan, inf and negative numbers; nothing here means anything by them."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        place = (*at, str(key))
        if isinstance(value, float | int) and not (math.isfinite(value) and value >= 0):
            raise lines.error(place, f"{key} must be a finite number, 0 or more")
        _check_numbers(value, lines, place)


def _complete(tiers: dict[str, TierConfig], lines: Lines) -> dict[str, TierConfig]:
    if "standard" not in tiers:
        raise lines.error((), "there is no tier standard: add [tiers.standard] with its candidates")
    standard = tiers["standard"]
    return {name: tiers.get(name) or msgspec.structs.replace(standard, name=name) for name in TIERS}
