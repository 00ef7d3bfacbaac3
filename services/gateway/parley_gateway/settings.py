"""What the operator decides about the door."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from parley_proto.errors import SettingsError

SHORTEST_SECRET = 32


class Settings(msgspec.Struct, frozen=True):
    """Section `gateway`. Names that end in `_s` are seconds, in `_ms` milliseconds.

    `jwt_secret` (HS256) or `jwt_public_key` (RS256; a PEM text or the path of a file with it) is needed with
    `auth=jwt`. `ticket_secret` must be the same on all instances; empty means one of this process only.
    `offline_model` is what /v1/meta says about the model before an answer has shown it.
    `origins` are the further web origins that may connect, separated by commas; the page's own always may.
    `messages_per_minute` is what one customer may say, over all connections; `tenant_messages_per_minute` all customers
    of a tenant together. `max_unanswered` messages may wait for their answer here, new chats get `new_chat_share` of
    these places, and hardly any when nothing was answered for `stall_s`. As many may wait for a specialist to begin as
    are begun with in `patience_s`, and `least_waiting` always.
    `expects` names the services whose absence is told to those who chat; specialties are added when first heard of.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    auth: Literal["off", "jwt"] = "off"
    jwt_secret: str = ""
    jwt_public_key: str = ""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    ticket_secret: str = ""
    ticket_s: int = 30
    origins: str = ""
    demo_customers: int = 200
    messages_per_minute: int = 100
    frames_per_minute: int = 600
    tenant_messages_per_minute: int = 30_000
    max_unanswered: int = 1000
    new_chat_share: float = 0.8
    stall_s: float = 60.0
    patience_s: float = 3.0
    least_waiting: int = 100
    max_sockets: int = 6000
    max_sockets_per_principal: int = 20
    hello_s: float = 10.0
    accept_s: float = 15.0
    run_s: float = 300.0
    reconnect_spread_ms: int = 5000
    offline_model: Literal["unknown", "yes", "no"] = "unknown"
    expects: str = "conversation,rag,llm-gateway,archiver"

    def expected(self) -> list[str]:
        return [name.strip() for name in self.expects.split(",") if name.strip()]

    def __repr__(self) -> str:
        return f"Settings(auth={self.auth!r}, host={self.host!r}, port={self.port})"


def check(settings: Settings) -> None:
    """SettingsError names what can't work together; called before anything is built."""
    if settings.ticket_secret and len(settings.ticket_secret) < SHORTEST_SECRET:
        raise SettingsError(f"PARLEY_GATEWAY_TICKET_SECRET must have {SHORTEST_SECRET} characters or more.")
    if not 1 <= settings.demo_customers <= 9999:
        raise SettingsError("PARLEY_GATEWAY_DEMO_CUSTOMERS must be between 1 and 9999.")
    _check_limits(settings)
    if settings.auth == "jwt":
        _check_keys(settings)


def _check_limits(settings: Settings) -> None:
    for name in ("messages_per_minute", "tenant_messages_per_minute", "max_unanswered", "max_sockets", "least_waiting"):
        if getattr(settings, name) < 1:
            raise SettingsError(f"PARLEY_GATEWAY_{name.upper()} must be 1 or more.")
    if not 0 < settings.new_chat_share <= 1:
        raise SettingsError("PARLEY_GATEWAY_NEW_CHAT_SHARE must be above 0 and at most 1.")


def public_key(settings: Settings) -> str:
    """The PEM text of `jwt_public_key`, read from its file where it is a path; '' when there is none."""
    value = settings.jwt_public_key.strip()
    if not value or value.startswith("-----BEGIN"):
        return value
    try:
        return Path(value).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"PARLEY_GATEWAY_JWT_PUBLIC_KEY is neither a PEM text nor a file: {error}.") from error


def _check_keys(settings: Settings) -> None:
    if bool(settings.jwt_secret) == bool(settings.jwt_public_key):
        raise SettingsError(
            "With PARLEY_GATEWAY_AUTH=jwt set either PARLEY_GATEWAY_JWT_SECRET (HS256) "
            "or PARLEY_GATEWAY_JWT_PUBLIC_KEY (RS256), and not both."
        )
    if settings.jwt_secret and len(settings.jwt_secret.encode()) < SHORTEST_SECRET:
        raise SettingsError(f"PARLEY_GATEWAY_JWT_SECRET must have {SHORTEST_SECRET} bytes or more (RFC 7518, 3.2).")
