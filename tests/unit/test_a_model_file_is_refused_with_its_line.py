"""The TOML file of providers, models, tiers and budgets: taken whole, or refused with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from parley_llm_gateway.config import OFFLINE_MODEL, Config, from_settings
from parley_llm_gateway.config_file import parse
from parley_llm_gateway.prices import Price, cost, estimate
from parley_llm_gateway.settings import Settings
from parley_proto.errors import SettingsError
from parley_proto.llm import Usage

_EXAMPLE = Path(__file__).parents[2] / "services" / "llm-gateway" / "llm.example.toml"
_KEYS = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2", "SHOP_LLM_KEY": "a-key-of-the-shop-1"}
_SOUND = """[providers.a]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
[models.m]
provider = "a"
[tiers.standard]
candidates = ["m"]
"""


def _parse(text: str) -> Config:
    return parse(text, "llm.toml", {})


def test_the_example_is_sound_and_each_tier_has_its_candidates() -> None:
    config = parse(_EXAMPLE.read_text("utf-8"), "llm.example.toml", _KEYS)
    assert [candidate.model for candidate in config.tiers["deep"].candidates] == [
        candidate.model for candidate in config.tiers["standard"].candidates
    ]
    assert config.models["gpt-4o-mini"].price == Price(150_000, 600_000, 75_000)
    assert config.providers["openai"].api_key == "sk-1"
    assert [limit.amount for limit in config.limits] == [50_000_000, 500_000]
    assert OFFLINE_MODEL in config.models


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('candidates = ["m"]', 'candidates = ["n"]', 7, "no model 'n'; there is m"),
        ('candidates = ["m"]', "candidates = []", 7, "at least one candidate"),
        ('candidates = ["m"]', 'candidate = ["m"]', 7, "did you mean 'candidates'"),
        ('provider = "a"', 'provider = "b"', 5, "no provider 'b'"),
        ('kind = "openai"', 'kind = "gpt"', 2, "kind is wrong"),
        ('base_url = "http://127.0.0.1:1/v1"', 'base_url = "nonsense"', 3, "http or https"),
        ('base_url = "http://127.0.0.1:1/v1"', 'base_url = "http://h"\napi_key_env = "NOT_SET"', 4, "NOT_SET is empty"),
        ("[tiers.standard]", "[tiers.slow]", 6, "no tier 'slow'"),
        ("[tiers.standard]", "[tiers.fast]", 1, "no tier standard"),
        ("[models.m]", "[models.m]\ncontext = -1", 5, "0 or more"),
        ("[models.m]", '[models.m]\ncapabilities = ["dance"]', 5, "no capability 'dance'"),
        ("[tiers.standard]", '[[budgets]]\nscope = "tenant"\namount = "ten"\n[tiers.standard]', 8, "like 25.00"),
        ("[tiers.standard]", '[[budgets]]\nscope = "tenant"\namount = "10"\n[tiers.standard]', 4, "'m' has no price"),
        ("[tiers.standard]", '[callers.x]\nkey = "short"\n[tiers.standard]', 6, "16 characters"),
        ("[tiers.standard]", "[retries]\nshare = nan\n[tiers.standard]", 7, "finite number"),
        ("[tiers.standard]", "[queue]\nlenght = 3\n[tiers.standard]", 7, "did you mean 'length'"),
        ("[tiers.standard]", '[embeddings]\nmodel = "m"\n[tiers.standard]', 7, "capability embeddings"),
        ("[tiers.standard]", "[tiers.standard", 6, "no TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(old: str, new: str, line: int, says: str) -> None:
    assert old in _SOUND
    with pytest.raises(SettingsError) as caught:
        _parse(_SOUND.replace(old, new))
    assert caught.value.message.startswith(f"llm.toml:{line}: ")
    assert says in caught.value.message


def test_the_environment_alone_gives_one_provider_or_none() -> None:
    offline = from_settings(Settings())
    assert offline.tiers["standard"].candidates[0].model == OFFLINE_MODEL
    claude = from_settings(Settings(base_url="https://api.anthropic.com", api_key="k", model="claude-haiku-4-5"))
    assert claude.providers["default"].kind == "anthropic"
    assert claude.tiers["deep"].candidates[0].model == "claude-haiku-4-5"


def test_a_cost_counts_cached_tokens_by_their_own_price_and_rounds_up() -> None:
    price = Price(1_000_000, 2_000_000, 100_000)
    assert cost(price, Usage(10, 5, 4)) == 6 + 1 + 10
    assert cost(None, Usage(10, 5)) is None
    assert (estimate(price, 30, 100) or 0) > (cost(price, Usage(10, 100)) or 0)
