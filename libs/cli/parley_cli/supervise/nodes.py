"""How many nats-servers carry the log, what each is called, where it listens and keeps its store."""

from __future__ import annotations

from pathlib import Path

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.supervise.home import Home

ALLOWED = (1, 3, 5)
# Five copies would outlive a second node, and make every write slower.
COPIES = 3
_MONITOR, _ROUTES = 4000, 2000
_BASE_ROUTES, _BASE_CLIENTS, _BASE_MONITORS = 160, 170, 180


def names(count: int) -> list[str]:
    return [f"nats-{number}" for number in range(1, count + 1)]


def monitor_of(name: str) -> str:
    """What the port of a node's monitoring is called among the ports."""
    return f"{name}-monitor"


def routes_of(name: str) -> str:
    """What the port at which the other nodes reach this one is called among the ports."""
    return f"{name}-routes"


def decide(wanted: int, home: Home) -> int:
    """The number of nodes: what is wanted, else what the folder was begun with, else one.

    CommandError for a number that has no safe majority, and for another one than the folder was begun with: a log of
    one node is no part of a cluster's, and nats-server would take it for something left behind.
    """
    if wanted not in (0, *ALLOWED):
        raise CommandError(f"There can be 1, 3 or 5 nodes of NATS (PARLEY_UP_NODES), not {wanted}.", EXIT_USAGE)
    before = begun_with(home)
    if wanted and before and wanted != before:
        raise CommandError(
            f"The log in {home.root} was begun with {_counted(before)} of NATS and can't be opened with {wanted}: "
            f"start it with --nodes {before}, or choose another folder with --data.",
            EXIT_USAGE,
        )
    return wanted or before or 1


def begun_with(home: Home) -> int:
    """How many nodes have written the log in this folder; 0 where there is none yet."""
    if (home.nats / "jetstream").is_dir():
        return 1
    return next((count for count in ALLOWED[1:] if _stores(home, count).is_dir()), 0)


def store_of(home: Home, name: str, count: int) -> Path:
    return home.nats if count == 1 else _stores(home, count) / name


def port_wishes(count: int, *, base: int = 0, nats_port: int = 4222) -> dict[str, int]:
    """The ports that the nodes would like: counted from `base` where there is one, else nats-server's usual ones."""
    wishes: dict[str, int] = {}
    for place, name in enumerate(names(count)):
        client = base + (_BASE_CLIENTS + place if place else 0) if base else nats_port + place
        monitor = base + (_BASE_MONITORS + place if place else 1) if base else client + _MONITOR
        wishes |= {name: client, monitor_of(name): monitor}
        if count > 1:
            wishes[routes_of(name)] = base + _BASE_ROUTES + place if base else client + _ROUTES
    return wishes


def _stores(home: Home, count: int) -> Path:
    return home.root / f"nats-of-{count}"


def _counted(count: int) -> str:
    return "one node" if count == 1 else f"{count} nodes"
