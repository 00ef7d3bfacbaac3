"""Ports for servers that a test starts."""

from __future__ import annotations

import random
import socket

_LOWEST, _HIGHEST, _ROOM = 20_000, 31_000, 200


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_base() -> int:
    """The first of a stretch of ports for a whole mesh, below those that the kernel lends to connections.

    At random, so that two test runs on one machine hardly ever meet; the supervisor steps over ports in use.
    """
    return random.randrange(_LOWEST, _HIGHEST, _ROOM)
