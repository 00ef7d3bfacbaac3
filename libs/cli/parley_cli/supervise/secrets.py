"""Passwords and keys of one mesh: made once at random, kept in a file that only its owner reads."""

from __future__ import annotations

import base64
import secrets

import msgspec

from parley_cli.errors import CommandError
from parley_cli.supervise.home import Home, write_private


class Secrets(msgspec.Struct):
    """`nats` and `postgres` hold a password a user; `tokens` whatever else services share."""

    nats: dict[str, str] = {}
    postgres: dict[str, str] = {}
    tokens: dict[str, str] = {}

    def nats_password(self, user: str) -> str:
        return self.nats.setdefault(user, secrets.token_urlsafe(24))

    def postgres_password(self, role: str) -> str:
        return self.postgres.setdefault(role, secrets.token_urlsafe(24))

    def token(self, name: str) -> str:
        return self.tokens.setdefault(name, secrets.token_urlsafe(32))

    def key(self, name: str) -> str:
        """256 random bits in base64."""
        return self.tokens.setdefault(name, base64.b64encode(secrets.token_bytes(32)).decode())


def load(home: Home) -> Secrets:
    """What earlier runs made, or nothing yet. CommandError where the file is damaged: a new one would lock us out."""
    try:
        return msgspec.json.decode(home.secrets.read_bytes(), type=Secrets)
    except FileNotFoundError:
        return Secrets()
    except (OSError, msgspec.DecodeError) as error:
        raise CommandError(
            f"{home.secrets} can't be read: {error}. Put it back, or remove {home.root} to begin with an empty mesh."
        ) from error


def save(home: Home, known: Secrets) -> None:
    write_private(home.secrets, msgspec.json.format(msgspec.json.encode(known)))
