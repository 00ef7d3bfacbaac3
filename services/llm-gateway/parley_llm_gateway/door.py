"""Who may use the HTTP endpoint: callers with a key, or, where no key is set, this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from parley_proto.errors import PermanentError

LOCAL = "local"


class Door:
    """`callers` maps each key to the name of its holder."""

    def __init__(self, callers: Mapping[str, str]) -> None:
        self._callers = dict(callers)

    def caller(self, headers: Mapping[str, str], host: str) -> str:
        """Who calls. PermanentError (`bad_key`, `not_local`) for who may not."""
        if not self._callers:
            return self._neighbour(headers, host)
        scheme, _, given = headers.get("authorization", "").partition(" ")
        found = [name for key, name in self._callers.items() if hmac.compare_digest(key.encode(), given.encode())]
        if not found or scheme.lower() != "bearer":
            raise PermanentError("The key is missing or wrong: send Authorization: Bearer <key>.", code="bad_key")
        return found[0]

    def _neighbour(self, headers: Mapping[str, str], host: str) -> str:
        # The Host header stops pages whose name was rebound to this machine.
        if _is_loopback(host) and _is_loopback(_hostname(headers.get("host", ""))):
            return LOCAL
        text = "Without keys only this machine may call: set PARLEY_LLM_GATEWAY_CALLER_KEYS to name=key pairs."
        raise PermanentError(text, code="not_local")


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
