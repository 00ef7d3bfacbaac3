"""Who is at the door: the host's JWT, and the ticket that it buys."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import msgspec

from parley_gateway.domain import ANONYMOUS, MAX_ID, Session
from parley_gateway.settings import Settings, public_key
from parley_proto.envelope import now_ms
from parley_proto.errors import PermanentError

MAX_TOKEN = 8192
MAX_GROUPS = 32
_GROUP = re.compile(r"\A[a-z0-9][a-z0-9-]{0,62}\Z")
_TENANT = re.compile(r"\A[A-Za-z0-9_-]{1,64}\Z")


class Refused(PermanentError):
    """Who it is can't be believed; always told in the same words, so that nothing can be learnt from it."""

    code = "unauthorized"


class Authenticator:
    """Reads the `Authorization` header; with `auth=off` everybody is the same anonymous principal."""

    def __init__(self, settings: Settings, tenant: str) -> None:
        self._off = settings.auth == "off"
        self._tenant = tenant
        self._key = settings.jwt_secret or public_key(settings)
        # Only the algorithm that fits the key: a public key must never be taken for an HMAC secret, nor `none`.
        self._algorithms = ["HS256"] if settings.jwt_secret else ["RS256"]
        self._audience = settings.jwt_audience or None
        self._issuer = settings.jwt_issuer or None

    def session(self, authorization: str | None) -> Session:
        """The session behind `Bearer <JWT>`; Refused when there is none that can be believed."""
        if self._off:
            return Session(self._tenant, ANONYMOUS)
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN:
            raise Refused("Sign in first: the request needs the header Authorization with a Bearer token.")
        return self._session_of(self._claims(token.strip()))

    def _claims(self, token: str) -> dict[str, Any]:
        options = {"require": ["exp", "sub"], "verify_aud": self._audience is not None}
        try:
            return jwt.decode(
                token,
                self._key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                options=options,  # type: ignore[arg-type]
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise Refused("The token is not valid or has expired; sign in again.") from error

    def _session_of(self, claims: Mapping[str, Any]) -> Session:
        principal = _text(claims, "sub", "")
        tenant = _text(claims, "tenant", self._tenant)
        if not principal or principal == ANONYMOUS or not _TENANT.match(tenant):
            raise Refused("The token is not valid: its sub or tenant can't be used here.")
        customer = _text(claims, "customer_id", principal) or principal
        until = int(float(claims["exp"]) * 1000)
        return Session(tenant, principal, customer, _text(claims, "name", ""), until, _groups(claims))


def _text(claims: Mapping[str, Any], name: str, default: str) -> str:
    value = claims.get(name, default)
    if not isinstance(value, str) or len(value) > MAX_ID or (value and not value.isprintable()):
        raise Refused(f"The token is not valid: its claim {name} must be a short text.")
    return value


def _groups(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """What the host says the customer belongs to: it opens documents that are for that group."""
    value = claims.get("groups", [])
    named = isinstance(value, list) and all(isinstance(one, str) and _GROUP.match(one) for one in value)
    if not named or len(value) > MAX_GROUPS:
        raise Refused(f"The token is not valid: its claim groups must be a list of at most {MAX_GROUPS} short names.")
    return tuple(value)


class _Ticket(msgspec.Struct, frozen=True):
    nonce: str
    expires_at: int
    session: Session


class Tickets:
    """Tickets that any instance with the same secret can check.

    Each is taken once by an instance; another instance may take it again within its 30 s: that would need a
    memory that all share, and what it buys is only a socket of the same principal.
    """

    def __init__(self, secret: str, seconds: int, clock: Callable[[], int] = now_ms) -> None:
        self._key = secret.encode() or secrets.token_bytes(32)
        self._ms = seconds * 1000
        self._clock = clock
        self._used: dict[str, int] = {}

    @property
    def remembered(self) -> int:
        """How many used tickets are kept in mind."""
        return len(self._used)

    @property
    def lifetime_ms(self) -> int:
        return self._ms

    def issue(self, session: Session) -> str:
        ticket = _Ticket(secrets.token_urlsafe(12), self._clock() + self._ms, session)
        body = base64.urlsafe_b64encode(msgspec.json.encode(ticket)).decode()
        return f"{body}.{self._sign(body)}"

    def redeem(self, text: str) -> Session:
        """The session that bought it; PermanentError `bad_ticket` when forged, expired or used before."""
        body, _, signature = text.partition(".")
        if len(text) > MAX_TOKEN or not hmac.compare_digest(signature.encode(), self._sign(body).encode()):
            raise _bad_ticket()
        ticket = msgspec.json.decode(base64.urlsafe_b64decode(body), type=_Ticket)
        now = self._clock()
        if now >= ticket.expires_at or ticket.nonce in self._used:
            raise _bad_ticket()
        self._forget(now)
        self._used[ticket.nonce] = ticket.expires_at
        return ticket.session

    def _sign(self, body: str) -> str:
        return hmac.new(self._key, body.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _forget(self, now: int) -> None:
        # Oldest first, and all live equally long: stop at the first that is still good.
        while self._used and next(iter(self._used.values())) <= now:
            self._used.pop(next(iter(self._used)))


def _bad_ticket() -> PermanentError:
    return PermanentError("The ticket is unknown, used or older than 30 s; ask for a new one.", code="bad_ticket")
