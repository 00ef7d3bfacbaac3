"""What the operator decides about the archive: section `archiver`, so `PARLEY_ARCHIVER_*`."""

from __future__ import annotations

import base64
import binascii
import stat
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from parley_mesh.telemetry import log
from parley_proto.errors import SettingsError

MASTER_KEY_BYTES = 32
MAX_BATCH = 5000
MAX_REST_S = 10 * 366 * 86400


class Settings(msgspec.Struct, frozen=True):
    """`database_url` writes; `migrate_database_url`, where given, is the owner of schema `archive`.

    The master key is 32 bytes: `master_key` in base64, or `master_key_file` with the same text or the bare bytes.
    A batch is written at `batch` messages or after `linger_ms` milliseconds, whichever comes first.
    A conversation that has rested for `retire_after_s` leaves the log (0 for never); looked for every `retire_every_s`.
    """

    database_url: str = ""
    migrate_database_url: str = ""
    master_key: str = ""
    master_key_file: str = ""
    batch: int = 500
    linger_ms: int = 100
    pool_size: int = 4
    statement_timeout_s: float = 30.0
    key_cache: int = 10_000
    retire_after_s: float = 30 * 86400.0
    retire_every_s: float = 60.0


def checked(settings: Settings) -> Settings:
    """`settings` when they can work; SettingsError says which one can't."""
    _check_url("PARLEY_ARCHIVER_DATABASE_URL", settings.database_url)
    if settings.migrate_database_url:
        _check_url("PARLEY_ARCHIVER_MIGRATE_DATABASE_URL", settings.migrate_database_url)
    _check_range("PARLEY_ARCHIVER_BATCH", settings.batch, 1, MAX_BATCH)
    _check_range("PARLEY_ARCHIVER_LINGER_MS", settings.linger_ms, 0, 60_000)
    _check_range("PARLEY_ARCHIVER_POOL_SIZE", settings.pool_size, 1, 100)
    _check_range("PARLEY_ARCHIVER_STATEMENT_TIMEOUT_S", settings.statement_timeout_s, 0.1, 3600)
    _check_range("PARLEY_ARCHIVER_KEY_CACHE", settings.key_cache, 1, 10_000_000)
    _check_range("PARLEY_ARCHIVER_RETIRE_AFTER_S", settings.retire_after_s, 0, MAX_REST_S)
    _check_range("PARLEY_ARCHIVER_RETIRE_EVERY_S", settings.retire_every_s, 0.1, 86400)
    return settings


def master_key(settings: Settings) -> bytes:
    """The 32 bytes that wrap the customers' keys; SettingsError where there are none."""
    if settings.master_key:
        return _decoded("PARLEY_ARCHIVER_MASTER_KEY", settings.master_key.encode())
    if not settings.master_key_file:
        raise SettingsError(
            "The archiver has no master key: set PARLEY_ARCHIVER_MASTER_KEY_FILE to a file "
            "that holds 32 random bytes in base64, readable by the archiver only."
        )
    return _from_file(Path(settings.master_key_file))


def _from_file(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if path.stat().st_mode & stat.S_IROTH:
            log("parley.archiver").warning("the master key file can be read by everybody", extra={"path": str(path)})
    except OSError as error:
        raise SettingsError(
            f"PARLEY_ARCHIVER_MASTER_KEY_FILE: {path} can't be read ({error.strerror}); "
            "create it with 32 random bytes in base64, or correct the path."
        ) from error
    return content if len(content) == MASTER_KEY_BYTES else _decoded(f"{path}", content)


def _decoded(origin: str, text: bytes) -> bytes:
    try:
        key = base64.b64decode(text.strip().translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise SettingsError(f"{origin} is not a master key: it must be the base64 of 32 random bytes.")
    return key


def _check_url(variable: str, url: str) -> None:
    if not url:
        raise SettingsError(
            f"{variable} is not set: give it the address of PostgreSQL, postgresql://user@host/database."
        )
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in ("postgresql", "postgres"):
        raise SettingsError(f"{variable} is not an address of PostgreSQL: it must begin with postgresql://.")


def _check_range(variable: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SettingsError(f"{variable} is {value:g}, but must be from {low:g} to {high:g}.")
