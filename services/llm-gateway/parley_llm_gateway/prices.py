"""What tokens cost: integers, from a pinned snapshot with its date. Pure but for reading the snapshot once."""

from __future__ import annotations

import tomllib
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from parley_proto.llm import Usage

_MILLION = 1_000_000
_CHARS_PER_TOKEN = 3


class Price(msgspec.Struct, frozen=True):
    """Millionths of the currency for a million tokens; `cached` for prompt tokens read from the provider's cache."""

    input: int
    output: int
    cached: int | None = None


def cost(price: Price | None, usage: Usage) -> int | None:
    """Millionths, rounded up; None for an unknown price."""
    if price is None:
        return None
    cached = min(usage.cached_tokens, usage.prompt_tokens)
    cached_price = price.input if price.cached is None else price.cached
    total = (
        (usage.prompt_tokens - cached) * price.input + cached * cached_price + usage.completion_tokens * price.output
    )
    return -(-total // _MILLION)


def estimate(price: Price | None, prompt_chars: int, max_tokens: int) -> int | None:
    """The most that a call is likely to cost, before it is made: three characters a token is on the safe side."""
    return cost(price, Usage(-(-prompt_chars // _CHARS_PER_TOKEN) + 1, max_tokens))


def micros(amount: str) -> int:
    """A decimal amount in millionths. ValueError says what it must be."""
    try:
        value = Decimal(amount)
    except InvalidOperation as error:
        raise ValueError("must be a number like 25.00") from error
    if not value.is_finite() or value < 0 or value > 10**9:
        raise ValueError("must be from 0 to 1000000000")
    return int(value * _MILLION)


def snapshot_price(model: str) -> Price | None:
    found = _snapshot()["models"].get(model)
    return Price(found["input"], found["output"], found.get("cached")) if found else None


def prices_date() -> str:
    """The day of the snapshot, YYYY-MM-DD."""
    return str(_snapshot()["date"])


@cache
def _snapshot() -> dict[str, Any]:
    return tomllib.loads(files("parley_llm_gateway").joinpath("prices.toml").read_text("utf-8"))
