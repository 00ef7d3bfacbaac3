"""What the operator decides: read once from the environment, checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from parley_proto.errors import SettingsError

_TOKEN = re.compile(r"[!-~]{16,256}")


class Settings(Struct, frozen=True):
    """The settings of one instance; times are in seconds.

    `lock_wait` is how long a call waits for another one with the same idempotency key, `request_timeout`
    bounds everything a call does with the database, `drain` what is still running at SIGTERM.
    """

    database_url: str
    token: str
    host: str = "127.0.0.1"
    port: int = 8090
    pool_max: int = 10
    acquire_timeout: float = 2.0
    statement_timeout: float = 5.0
    lock_wait: float = 3.0
    request_timeout: float = 8.0
    drain: float = 10.0

    def __repr__(self) -> str:
        return f"Settings(host={self.host!r}, port={self.port}, pool_max={self.pool_max})"


def from_env(environ: Mapping[str, str]) -> Settings:
    """The settings from `PARLEY_DATABASE_URL` and `PARLEY_BACKOFFICE_*`.

    Raises SettingsError with one sentence that names the variable.
    """
    usual = Settings(database_url="", token="")
    prefix = "PARLEY_BACKOFFICE_"
    return Settings(
        database_url=_database_url(environ),
        token=_token(environ),
        host=_host(environ, usual.host),
        port=int(_number(environ, f"{prefix}PORT", usual.port, 1, 65535, whole=True)),
        pool_max=int(_number(environ, f"{prefix}POOL_MAX", usual.pool_max, 1, 200, whole=True)),
        acquire_timeout=_number(environ, f"{prefix}ACQUIRE_TIMEOUT", usual.acquire_timeout, 0.1, 60),
        statement_timeout=_number(environ, f"{prefix}STATEMENT_TIMEOUT", usual.statement_timeout, 0.1, 60),
        lock_wait=_number(environ, f"{prefix}LOCK_WAIT", usual.lock_wait, 0.05, 60),
        request_timeout=_number(environ, f"{prefix}REQUEST_TIMEOUT", usual.request_timeout, 0.1, 120),
        drain=_number(environ, f"{prefix}DRAIN", usual.drain, 0, 300),
    )


def _database_url(environ: Mapping[str, str]) -> str:
    url = environ.get("PARLEY_DATABASE_URL", "").strip()
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in {"postgresql", "postgres"}:
        # The value may hold a password, so it is not repeated.
        raise SettingsError("PARLEY_DATABASE_URL must be a postgresql:// address; set it to that of the database.")
    return url


def _token(environ: Mapping[str, str]) -> str:
    token = environ.get("PARLEY_BACKOFFICE_TOKEN", "").strip()
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            "PARLEY_BACKOFFICE_TOKEN must be 16 to 256 printable characters without spaces; "
            "set it to the token that the tools send."
        )
    return token


def _host(environ: Mapping[str, str], usual: str) -> str:
    host = environ.get("PARLEY_BACKOFFICE_HOST", usual).strip()
    if not re.fullmatch(r"[A-Za-z0-9_.:\-]{1,253}", host):
        raise SettingsError("PARLEY_BACKOFFICE_HOST must be a host name or an address; set it to 127.0.0.1 or 0.0.0.0.")
    return host


def _number(
    environ: Mapping[str, str], name: str, usual: float, low: float, high: float, *, whole: bool = False
) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return usual
    if re.fullmatch(r"[0-9]{1,6}" if whole else r"[0-9]{1,6}(\.[0-9]{1,6})?", text) and low <= float(text) <= high:
        return float(text)
    kind = "a whole number" if whole else "a number of seconds"
    bounds = f"from {low:g} to {high:g}"
    raise SettingsError(f"{name} must be {kind} {bounds}, but is {text[:40]!r}; correct it or unset it.")
