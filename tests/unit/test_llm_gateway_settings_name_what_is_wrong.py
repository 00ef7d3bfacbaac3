"""A wrong setting of the llm-gateway stops it with a sentence that names the variable."""

from __future__ import annotations

import pytest

from parley_llm_gateway.settings import OPENAI_URL, Settings, read_keys
from parley_mesh.settings import load
from parley_proto.errors import SettingsError

_PREFIX = "PARLEY_LLM_GATEWAY_"


def _load(**values: str) -> Settings:
    return load(Settings, "llm-gateway", {"PARLEY_CONFIG": "", **{_PREFIX + name: v for name, v in values.items()}})


def test_without_any_setting_only_the_offline_model_answers() -> None:
    settings = _load()
    assert (settings.provider_url, settings.provider_models) == ("", ())


def test_a_key_alone_means_openai_and_a_url_alone_a_server_without_keys() -> None:
    assert _load(API_KEY="sk-0123456789abcdef").provider_url == OPENAI_URL
    local = _load(BASE_URL="http://127.0.0.1:11434/v1/", MODEL="llama3", MODELS="qwen3, llama3 ,")
    assert (local.provider_url, local.provider_models) == ("http://127.0.0.1:11434/v1", ("llama3", "qwen3"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASE_URL", "api.example.com/v1"),
        ("BASE_URL", "ftp://example.com"),
        ("BASE_URL", "http://user:word@example.com/v1"),
        ("BASE_URL", "http://example.com:notaport/v1"),
        ("BASE_URL", "https://example.com/v1?key=1"),
        ("API_KEY", "sk-with a space"),
        ("API_KEY", "sk-with\nnewline"),
        ("CALLER_KEYS", "shop=short"),
        ("CALLER_KEYS", "0123456789abcdef0123"),
        ("CALLER_KEYS", "a=0123456789abcdef,b=0123456789abcdef"),
        ("CONNECT_S", "0"),
        ("CONNECT_S", "nan"),
        ("TOTAL_S", "inf"),
        ("ATTEMPTS", "3"),
        ("MAX_RUNNING", "many"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        _load(**{name: value})
    assert name.removesuffix("_S") in caught.value.message or "_S must" in caught.value.message
    assert "sk-with" not in caught.value.message


def test_an_empty_model_is_refused_where_a_provider_is_set() -> None:
    with pytest.raises(SettingsError, match="MODEL"):
        _load(BASE_URL="http://127.0.0.1:1/v1", MODEL=" ")


def test_callers_are_read_by_their_keys() -> None:
    keys = read_keys("shop = 0123456789abcdef , app=fedcba9876543210=")
    assert keys == {"0123456789abcdef": "shop", "fedcba9876543210=": "app"}
