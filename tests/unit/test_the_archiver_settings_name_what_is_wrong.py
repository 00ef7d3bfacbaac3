from __future__ import annotations

import base64
from pathlib import Path

import pytest

from parley_archiver.settings import Settings, checked, master_key
from parley_mesh.settings import is_secret, load
from parley_proto.errors import SettingsError

KEY = bytes(range(224, 256))
TEXT = base64.b64encode(KEY).decode()
URL = "postgresql://archiver:secret@127.0.0.1/parley"


def test_the_environment_is_read_under_the_name_of_the_service() -> None:
    environ = {"PARLEY_ARCHIVER_DATABASE_URL": URL, "PARLEY_ARCHIVER_MASTER_KEY": TEXT, "PARLEY_ARCHIVER_BATCH": "7"}
    settings = load(Settings, "archiver", environ)
    assert (settings.database_url, settings.batch, settings.linger_ms) == (URL, 7, 100)
    assert checked(settings) is settings and master_key(settings) == KEY


@pytest.mark.parametrize("text", [TEXT, f" {TEXT}\n", base64.urlsafe_b64encode(KEY).decode()])
def test_a_master_key_may_come_as_text_or_in_a_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    assert master_key(Settings(master_key=text)) == master_key(Settings(master_key_file=str(path))) == KEY
    path.write_bytes(KEY)
    assert master_key(Settings(master_key_file=str(path))) == KEY


@pytest.mark.parametrize("text", ["short", TEXT[:-4], TEXT + "AAAA", "!" * 44, "é" * 44])
def test_what_is_not_a_master_key_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    for settings in (Settings(master_key=text), Settings(master_key_file=str(path))):
        with pytest.raises(SettingsError, match="base64 of 32 random bytes") as refused:
            master_key(settings)
        assert text not in refused.value.message


def test_no_master_key_and_no_file_are_two_sentences(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has no master key: set PARLEY_ARCHIVER_MASTER_KEY_FILE"):
        master_key(Settings())
    with pytest.raises(SettingsError, match="absent can't be read"):
        master_key(Settings(master_key_file=str(tmp_path / "absent")))


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("PARLEY_ARCHIVER_DATABASE_URL", {"database_url": ""}),
        ("PARLEY_ARCHIVER_DATABASE_URL", {"database_url": "mysql://u:secret@db"}),
        ("PARLEY_ARCHIVER_DATABASE_URL", {"database_url": "postgresql://[secret"}),
        ("PARLEY_ARCHIVER_MIGRATE_DATABASE_URL", {"migrate_database_url": "secret"}),
        ("PARLEY_ARCHIVER_BATCH", {"batch": 0}),
        ("PARLEY_ARCHIVER_BATCH", {"batch": 5001}),
        ("PARLEY_ARCHIVER_LINGER_MS", {"linger_ms": -1}),
        ("PARLEY_ARCHIVER_POOL_SIZE", {"pool_size": 0}),
        ("PARLEY_ARCHIVER_RETIRE_AFTER_S", {"retire_after_s": -1}),
        ("PARLEY_ARCHIVER_RETIRE_EVERY_S", {"retire_every_s": 0}),
        ("PARLEY_ARCHIVER_STATEMENT_TIMEOUT_S", {"statement_timeout_s": 0.0}),
        ("PARLEY_ARCHIVER_STATEMENT_TIMEOUT_S", {"statement_timeout_s": float("nan")}),
        ("PARLEY_ARCHIVER_KEY_CACHE", {"key_cache": 0}),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_shown(variable: str, values: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=f"^{variable} is") as refused:
        checked(Settings(**({"database_url": URL} | values)))  # type: ignore[arg-type]
    assert "secret" not in refused.value.message


def test_what_holds_a_password_or_a_key_is_not_shown_by_the_command_line() -> None:
    hidden = {name for name in Settings.__struct_fields__ if is_secret(name)}
    assert hidden == {"database_url", "migrate_database_url", "master_key"}
