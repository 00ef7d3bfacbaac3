"""Routing: who can, who is sound, whom the conversation knows, then order, weight or cost."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from parley_llm_gateway.config import Config
from parley_llm_gateway.config_file import parse
from parley_llm_gateway.routing import Health, Need, Sticky, need_of, plan
from parley_proto.errors import PermanentError
from parley_proto.llm import CompletionRequest
from parley_recap.asking import RESPONSE_FORMAT

_FILE = """
[providers.us]
kind = "openai"
base_url = "http://127.0.0.1:1"
region = "us"
[providers.eu]
kind = "openai"
base_url = "http://127.0.0.1:2"
region = "eu"
[models.big]
provider = "us"
capabilities = ["tools", "vision"]
price = { input = 10, output = 10 }
[models.small]
provider = "eu"
context = 1000
price = { input = 1, output = 1 }
[models.spare]
provider = "us"
price = { input = 5, output = 5 }
[tiers.standard]
candidates = [{ model = "big", rank = 0, weight = 3 }, { model = "small", rank = 0 }, { model = "spare", rank = 1 }]
[tiers.fast]
prefer = "cost"
candidates = ["big", "small", "spare"]
"""
_CONFIG: Config = parse(_FILE, "llm.toml", {})
_WELL = Health(True, 1.0, 0.0)


def _names(need: Need, conversation: str = "c", sticky: str = "", **health: Health) -> list[str]:
    return [model.id for model in plan(_CONFIG, need, conversation, sticky, lambda name: health.get(name, _WELL))]


def test_weights_share_the_first_place_and_the_spare_comes_last() -> None:
    plans = [_names(Need("standard"), f"c{number}") for number in range(2000)]
    first = Counter(names[0] for names in plans)
    assert 0.7 < first["big"] / 2000 < 0.8
    assert {names[2] for names in plans} == {"spare"}
    assert _names(Need("standard"), "c7") == plans[7]


def test_a_conversation_stays_where_it_was() -> None:
    assert _names(Need("standard"), sticky="spare")[0] == "spare"


def test_the_cheapest_is_first_until_it_fails() -> None:
    assert _names(Need("fast")) == ["small", "spare", "big"]
    assert _names(Need("fast"), small=Health(True, 0.15, 0.0)) == ["spare", "small", "big"]
    assert _names(Need("fast"), big=Health(True, 1.0, 1.0))[0] == "small"


def test_who_rests_comes_last_and_only_the_least_bad_of_them() -> None:
    resting = {"big": Health(False, 0.2, 0), "spare": Health(False, 0.4, 0)}
    assert _names(Need("fast"), **resting) == ["small", "spare"]


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        (Need("standard", capabilities=frozenset({"vision"})), ["big"]),
        (Need("standard", residency="eu"), ["small"]),
        (Need("fast", prompt_tokens=900, output_tokens=200), ["spare", "big"]),
        (Need("standard", model="spare"), ["spare"]),
    ],
)
def test_only_who_can_is_asked(need: Need, expected: list[str]) -> None:
    assert _names(need) == expected


@pytest.mark.parametrize(
    ("need", "code"),
    [
        (Need("standard", model="invented"), "unknown_model"),
        (Need("slow"), "unknown_tier"),
        (Need("standard", residency="mars"), "no_candidate"),
        (Need("standard", capabilities=frozenset({"embeddings"})), "no_candidate"),
    ],
)
def test_nobody_left_is_refused(need: Need, code: str) -> None:
    with pytest.raises(PermanentError) as caught:
        _names(need)
    assert caught.value.code == code


def test_a_summary_is_for_who_can_write_json_and_for_the_offline_model_in_that_form_only() -> None:
    request = CompletionRequest("r" * 20, "default", "c" * 20, [], 0, tier="fast", response_format=RESPONSE_FORMAT)
    assert _names(need_of(request)) == ["small", "spare"]
    offline = parse('[tiers.standard]\ncandidates = ["parley-offline-1"]', "llm.toml", {})
    assert plan(offline, need_of(request), "c", "", lambda _name: _WELL)
    other = msgspec.structs.replace(request, response_format={"type": "json_object"})
    with pytest.raises(PermanentError):
        plan(offline, need_of(other), "c", "", lambda _name: _WELL)


def test_stickiness_ends_after_ten_minutes() -> None:
    now = 0.0
    sticky = Sticky(lambda: now)
    sticky.put("c", "big")
    assert sticky.of("c") == "big"
    now = 601.0
    assert sticky.of("c") == ""
