"""Ports for servers that a test starts."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket

# All below those that the kernel lends to connections: one that it lent would be taken before a server listens.
_SINGLE, _LOWEST, _HIGHEST, _ROOM, _WORKERS = 11_000, 20_000, 31_000, 200, 2
_SINGLES = (_LOWEST - _SINGLE) // _WORKERS
_PLACES = (_HIGHEST - _LOWEST) // _ROOM // _WORKERS
_turns = itertools.count(random.randrange(_PLACES))
_singles = itertools.count(random.randrange(_SINGLES))


def free_port() -> int:
    """A port on which nothing listens now, and which no other worker of a test run is given."""
    for _ in range(_SINGLES):
        port = _SINGLE + _worker() * _SINGLES + next(_singles) % _SINGLES
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"All ports from {_SINGLE} to {_LOWEST} are taken.")


def port_base() -> int:
    """The first of a stretch of ports for a whole mesh.

    Each worker of a test run has stretches of its own and takes them in turn; it begins at random, so that two runs on
    one machine hardly ever meet. The supervisor steps over ports in use.
    """
    place = _worker() * _PLACES + next(_turns) % _PLACES
    return _LOWEST + place * _ROOM


def _worker() -> int:
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
