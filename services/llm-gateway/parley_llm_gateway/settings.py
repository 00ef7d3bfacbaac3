"""What an operator can set: `PARLEY_LLM_GATEWAY_*`, or `[llm-gateway]` in parley.toml."""

from __future__ import annotations

import math
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

OPENAI_URL = "https://api.openai.com/v1"
_MIN_KEY = 16

Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class Settings(msgspec.Struct, frozen=True):
    """Without `base_url` and `api_key` the offline model answers; `api_key` alone means OpenAI itself.

    `config` is a TOML file with providers, tiers and budgets; with it the other provider settings say nothing.
    `models` are further names (commas between) that callers may ask for next to `model`.
    `caller_keys` is `name=key, name=key` for the HTTP endpoint; without any, only this machine may call it.
    Times are seconds. ValueError, which the loader turns into SettingsError, names what is wrong.
    """

    config: str = ""
    base_url: str = ""
    api_key: str = ""
    model: str = "gpt-4o-mini"
    models: str = ""
    caller_keys: str = ""
    connect_s: Seconds = 2.0
    first_delta_s: Seconds = 20.0
    inter_delta_s: Seconds = 15.0
    total_s: Seconds = 120.0
    attempts: Annotated[int, msgspec.Meta(ge=1, le=2)] = 2
    max_running: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 256
    max_output_chars: Annotated[int, msgspec.Meta(ge=1_000, le=10_000_000)] = 400_000
    max_request_bytes: Annotated[int, msgspec.Meta(ge=1_000, le=16_000_000)] = 1_000_000

    def __post_init__(self) -> None:
        _check_url(self.base_url)
        if self.provider_url and not self.model.strip():
            raise ValueError("PARLEY_LLM_GATEWAY_MODEL is empty: name a model that the provider serves")
        if any(not 33 <= ord(char) <= 126 for char in self.api_key):
            raise ValueError("PARLEY_LLM_GATEWAY_API_KEY has spaces or characters that no HTTP header can carry")
        times = (self.connect_s, self.first_delta_s, self.inter_delta_s, self.total_s)
        if not all(math.isfinite(time) for time in times):
            raise ValueError("PARLEY_LLM_GATEWAY_*_S must be finite numbers of seconds")
        read_keys(self.caller_keys)

    @property
    def provider_url(self) -> str:
        """The provider's base URL without a slash at its end; empty for the offline model."""
        return (self.base_url or (OPENAI_URL if self.api_key else "")).rstrip("/")

    @property
    def provider_models(self) -> tuple[str, ...]:
        """What the provider may be asked for, the default first; empty for the offline model."""
        names = [self.model, *self.models.split(",")] if self.provider_url else []
        return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def read_keys(text: str) -> dict[str, str]:
    """Callers by their key. ValueError for a pair without a name, a short key, or a key given twice."""
    callers: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, _, key = (side.strip() for side in pair.partition("="))
        if not name or len(key) < _MIN_KEY or key in callers:
            raise ValueError(
                "PARLEY_LLM_GATEWAY_CALLER_KEYS must be name=key pairs with commas between, "
                f"each key its own and of at least {_MIN_KEY} characters"
            )
        callers[key] = name
    return callers


def _check_url(url: str) -> None:
    if not url:
        return
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment:
        raise ValueError(
            "PARLEY_LLM_GATEWAY_BASE_URL must be an http or https address without user, query and fragment, "
            "like http://127.0.0.1:11434/v1"
        )
