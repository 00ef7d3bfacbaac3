"""From a provider's kind to what speaks with it."""

from __future__ import annotations

from collections.abc import Callable

from parley_llm_gateway.config import ProviderConfig
from parley_llm_gateway.providers.anthropic import AnthropicProvider
from parley_llm_gateway.providers.base import Provider
from parley_llm_gateway.providers.offline import OfflineProvider
from parley_llm_gateway.providers.openai import OpenAIProvider

_KINDS: dict[str, Callable[[ProviderConfig], Provider]] = {
    "openai": OpenAIProvider,
    "anthropic": AnthropicProvider,
    "offline": lambda config: OfflineProvider(),
}


def provider_of(config: ProviderConfig) -> Provider:
    """The provider that `config` describes; it connects with its first call."""
    return _KINDS[config.kind](config)
