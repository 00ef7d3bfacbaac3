"""Which port each child gets: the wished one, else the one it had, else the next that is free."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping

from parley_cli.errors import CommandError

_TRIES = 400
_HIGHEST = 65535
_NONE: frozenset[int] = frozenset()


def choose(
    wishes: Mapping[str, int], kept: Mapping[str, int], is_free: Callable[[int], bool], others: frozenset[int] = _NONE
) -> dict[str, int]:
    """A port of its own for every name in `wishes`; `others` are in use already.

    Counting up from the wish keeps clear of the ports that the kernel lends to outgoing connections, so that a
    restarted child finds its own still free. CommandError when nothing near is free.
    """
    found: dict[str, int] = {}
    taken = set(others)
    for name, wish in wishes.items():
        found[name] = _first_free(name, [wish, kept.get(name, wish)], taken, is_free)
        taken.add(found[name])
    return found


def _first_free(name: str, wanted: list[int], taken: set[int], is_free: Callable[[int], bool]) -> int:
    wish = wanted[0]
    candidates: list[int] = [*wanted, *range(wish + 1, min(wish + _TRIES, _HIGHEST))]
    for port in candidates:
        if port not in taken and is_free(port):
            return port
    raise CommandError(f"There is no free port for {name} from {wish} on; set PARLEY_UP_PORT_BASE to a free range.")


def is_free(host: str, port: int) -> bool:
    """True where a server could listen on `port` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # A connection that is only winding down does not keep a server from starting; a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except (OSError, OverflowError):
            return False
    return True


def changed(wishes: Mapping[str, int], found: Mapping[str, int]) -> str:
    """One sentence that names every port which is not the wished one; empty when all are."""
    moved = [f"{name} uses {port} (not {wishes[name]})" for name, port in found.items() if wishes[name] != port]
    return f"Some ports are taken: {', '.join(moved)}." if moved else ""
