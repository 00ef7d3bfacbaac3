"""Ports for servers that a test starts."""

from __future__ import annotations

import itertools
import os
import random
import socket

_LOWEST, _HIGHEST, _ROOM, _WORKERS = 20_000, 31_000, 200, 2
_PLACES = (_HIGHEST - _LOWEST) // _ROOM // _WORKERS
_turns = itertools.count(random.randrange(_PLACES))


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_base() -> int:
    """The first of a stretch of ports for a whole mesh, below those that the kernel lends to connections.

    Each worker of a test run has stretches of its own and takes them in turn; it begins at random, so that two runs on
    one machine hardly ever meet. The supervisor steps over ports in use.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    place = worker * _PLACES + next(_turns) % _PLACES
    return _LOWEST + place * _ROOM
