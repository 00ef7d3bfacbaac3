from __future__ import annotations

import pytest

from parley_backoffice.settings import Settings, from_env
from parley_proto.errors import SettingsError

GOOD = {"PARLEY_DATABASE_URL": "postgresql://u:secret@db/parley", "PARLEY_BACKOFFICE_TOKEN": "a-long-enough-token"}


def test_the_rest_has_defaults() -> None:
    settings = from_env(GOOD)
    assert settings == Settings(database_url="postgresql://u:secret@db/parley", token="a-long-enough-token")
    assert (settings.host, settings.port, settings.pool_max) == ("127.0.0.1", 8090, 10)


def test_what_is_set_is_taken() -> None:
    settings = from_env(
        GOOD
        | {
            "PARLEY_BACKOFFICE_HOST": "0.0.0.0",
            "PARLEY_BACKOFFICE_PORT": "9000",
            "PARLEY_BACKOFFICE_POOL_MAX": "3",
            "PARLEY_BACKOFFICE_LOCK_WAIT": "0.5",
            "PARLEY_BACKOFFICE_DRAIN": " 0 ",
        }
    )
    assert (settings.host, settings.port, settings.pool_max) == ("0.0.0.0", 9000, 3)
    assert (settings.lock_wait, settings.drain) == (0.5, 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PARLEY_DATABASE_URL", ""),
        ("PARLEY_DATABASE_URL", "mysql://db"),
        ("PARLEY_DATABASE_URL", "db"),
        ("PARLEY_DATABASE_URL", "postgresql://[secret"),
        ("PARLEY_BACKOFFICE_TOKEN", ""),
        ("PARLEY_BACKOFFICE_TOKEN", "secret"),
        ("PARLEY_BACKOFFICE_TOKEN", "a secret with spaces in it"),
        ("PARLEY_BACKOFFICE_HOST", "not a host"),
        ("PARLEY_BACKOFFICE_PORT", "0"),
        ("PARLEY_BACKOFFICE_PORT", "65536"),
        ("PARLEY_BACKOFFICE_PORT", "80.5"),
        ("PARLEY_BACKOFFICE_PORT", "-1"),
        ("PARLEY_BACKOFFICE_PORT", "1e3"),
        ("PARLEY_BACKOFFICE_PORT", "9" * 5000),
        ("PARLEY_BACKOFFICE_POOL_MAX", "0"),
        ("PARLEY_BACKOFFICE_POOL_MAX", "١"),
        ("PARLEY_BACKOFFICE_STATEMENT_TIMEOUT", "nan"),
        ("PARLEY_BACKOFFICE_REQUEST_TIMEOUT", "inf"),
        ("PARLEY_BACKOFFICE_ACQUIRE_TIMEOUT", "soon"),
        ("PARLEY_BACKOFFICE_DRAIN", "301"),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence_that_tells_no_secret(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_env(GOOD | {name: value})
    message = caught.value.message
    assert message.startswith(f"{name} must be ")
    assert message.endswith(".")
    assert "\n" not in message
    assert "secret" not in message
    assert len(message) < 250


def test_settings_do_not_show_their_secrets() -> None:
    text = f"{from_env(GOOD)!r} {from_env(GOOD)}"
    assert "secret" not in text
    assert "a-long-enough-token" not in text
