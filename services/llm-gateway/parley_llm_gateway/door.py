"""Who may use the HTTP endpoint: callers with a key, or, where no key is set, this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from parley_llm_gateway.config import CallerConfig
from parley_proto.errors import PermanentError

LOCAL = CallerConfig("local", "")


class Door:
    """`callers()` are those of the present configuration."""

    def __init__(self, callers: Callable[[], Sequence[CallerConfig]]) -> None:
        self._callers = callers

    def caller(self, headers: Mapping[str, str], host: str) -> CallerConfig:
        """Who calls. PermanentError (`bad_key`, `not_local`) for who may not."""
        callers = self._callers()
        if not callers:
            return self._neighbour(headers, host)
        given = _key(headers).encode()
        found = [caller for caller in callers if hmac.compare_digest(caller.key.encode(), given)]
        if not found:
            raise PermanentError("The key is missing or wrong: send Authorization: Bearer <key>.", code="bad_key")
        return found[0]

    def _neighbour(self, headers: Mapping[str, str], host: str) -> CallerConfig:
        # The Host header stops pages whose name was rebound to this machine.
        if _is_loopback(host) and _is_loopback(_hostname(headers.get("host", ""))):
            return LOCAL
        text = "Without keys only this machine may call: set PARLEY_LLM_GATEWAY_CALLER_KEYS to name=key pairs."
        raise PermanentError(text, code="not_local")


def _key(headers: Mapping[str, str]) -> str:
    """Anthropic's clients send their key in a header of its own."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
