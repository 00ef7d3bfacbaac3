"""Which model is asked, and which after it: filter, then stickiness, then order or cost. Pure."""

from __future__ import annotations

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from parley_llm_gateway.config import SUMMARIES, Candidate, Config, ModelConfig, TierConfig
from parley_llm_gateway.offline import summary
from parley_proto.errors import PermanentError
from parley_proto.llm import CompletionRequest

_STICKY_S = 600.0
_STICKY_MOST = 100_000
_CHARS_PER_TOKEN = 4
_IMAGE_TOKENS = 1000
_WORST = 0.05


class Need(msgspec.Struct, frozen=True):
    """What a request asks of a model; tokens are estimates."""

    tier: str
    model: str = ""
    capabilities: frozenset[str] = frozenset()
    residency: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0


class Health(msgspec.Struct, frozen=True):
    """Rolling shares from 0 to 1; not `usable` while its breaker is open."""

    usable: bool
    success: float
    cache_hits: float


def need_of(request: CompletionRequest) -> Need:
    sums_up = summary.is_asked(request)
    wanted = {
        "tools": bool(request.tools),
        "vision": any(message.images for message in request.messages),
        SUMMARIES: sums_up,
        "json": (request.response_format or {}).get("type", "text") != "text" and not sums_up,
    }
    images = sum(len(message.images) for message in request.messages)
    chars = sum(len(message.content) for message in request.messages)
    return Need(
        request.tier,
        request.model,
        frozenset(name for name, asked in wanted.items() if asked),
        request.residency,
        chars // _CHARS_PER_TOKEN + images * _IMAGE_TOKENS,
        request.max_tokens or 0,
    )


def plan(
    config: Config, need: Need, conversation: str, sticky: str, health: Callable[[str], Health]
) -> list[ModelConfig]:
    """The models to ask, in order; of those that rest only the least bad, as the last.

    PermanentError: unknown_model, unknown_tier, or no_candidate with what emptied the list.
    """
    tier = _tier(config, need)
    candidates = _able(config, tier.candidates, need)
    seen = {candidate.model: health(candidate.model) for candidate in candidates}
    ordered = _ordered(config, tier, candidates, need, conversation, seen)
    usable = [model for model in ordered if seen[model.id].usable]
    usable.sort(key=lambda model: model.id != sticky)
    resting = sorted((m for m in ordered if not seen[m.id].usable), key=lambda model: -seen[model.id].success)
    return usable + resting[:1]


def _tier(config: Config, need: Need) -> TierConfig:
    if need.model:
        if need.model not in config.models:
            known = ", ".join(config.models)
            raise PermanentError(f"The model {need.model[:60]!r} is unknown here; use {known}.", code="unknown_model")
        return TierConfig(need.tier, (Candidate(need.model, 0),))
    if need.tier not in config.tiers:
        raise PermanentError(f"The tier {need.tier[:60]!r} is unknown here.", code="unknown_tier")
    return config.tiers[need.tier]


def _abilities(model: ModelConfig) -> frozenset[str]:
    return model.capabilities | {SUMMARIES} if "json" in model.capabilities else model.capabilities


def _able(config: Config, candidates: Sequence[Candidate], need: Need) -> list[Candidate]:
    left = list(candidates)
    filters: list[tuple[str, Callable[[ModelConfig], bool]]] = [
        (f"can do {', '.join(sorted(need.capabilities))}", lambda model: need.capabilities <= _abilities(model)),
        (f"is in {need.residency[:40]!r}", lambda model: _resides(config, model, need.residency)),
        ("takes so long a conversation", lambda model: _holds(model, need)),
    ]
    for what, fits in filters:
        able = [candidate for candidate in left if fits(config.models[candidate.model])]
        if not able:
            raise PermanentError(f"No model of {need.model or need.tier!r} {what}.", code="no_candidate")
        left = able
    return left


def _resides(config: Config, model: ModelConfig, residency: str) -> bool:
    return not residency or config.providers[model.provider].region == residency


def _holds(model: ModelConfig, need: Need) -> bool:
    return not model.context or need.prompt_tokens + need.output_tokens <= model.context


def _ordered(
    config: Config,
    tier: TierConfig,
    candidates: Sequence[Candidate],
    need: Need,
    conversation: str,
    seen: dict[str, Health],
) -> list[ModelConfig]:
    if tier.prefer == "cost":
        models = [config.models[candidate.model] for candidate in candidates]
        return sorted(models, key=lambda model: _effective_cost(model, need, seen[model.id]))
    drawn = sorted(candidates, key=lambda candidate: (candidate.rank, _draw(candidate, conversation)))
    return [config.models[candidate.model] for candidate in drawn]


def _draw(candidate: Candidate, conversation: str) -> float:
    """Smaller is earlier, by weight; the same for the same conversation (weighted rendezvous hashing)."""
    digest = hashlib.blake2b(f"{conversation}/{candidate.model}".encode(), digest_size=8).digest()
    chance = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -math.log(chance) / candidate.weight


def _effective_cost(model: ModelConfig, need: Need, health: Health) -> float:
    """What an answer really costs: cached tokens are cheaper, failures are paid too."""
    if model.price is None:
        return math.inf
    cached = model.price.input if model.price.cached is None else model.price.cached
    prompt = (1 - health.cache_hits) * model.price.input + health.cache_hits * cached
    total = need.prompt_tokens * prompt + max(need.output_tokens, 200) * model.price.output
    return total / max(health.success, _WORST)


class Sticky:
    """Which model a conversation spoke with last, for ten minutes: its prompt is in that provider's cache."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def of(self, conversation: str) -> str:
        until, model = self._kept.get(conversation, (0.0, ""))
        return model if until > self._clock() else ""

    def put(self, conversation: str, model: str) -> None:
        self._kept[conversation] = (self._clock() + _STICKY_S, model)
        self._kept.move_to_end(conversation)
        while len(self._kept) > _STICKY_MOST:
            self._kept.popitem(last=False)
