"""What runs, with which environment, in which order: decided before anything starts, without doing any of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.supervise.services import Service
from parley_mesh.settings import Found, variable

GATEWAY = "gateway"
BACKOFFICE = "backoffice"
LLM_GATEWAY = "llm-gateway"
NATS = "nats"
POSTGRES = "postgres-1"
EVERYONE = "all"
MOST_REPLICAS = 32
_RANK = (BACKOFFICE, LLM_GATEWAY, "rag", "archiver", "conversation")
FIRST_SERVICE_PORT = 8100
_PORTS_A_SERVICE = 10
# The back office is a third party of its own: it names this one as programs with a database do.
_OTHER_NAMES = {(BACKOFFICE, "database_url"): "PARLEY_DATABASE_URL"}


class Instance(msgspec.Struct, frozen=True):
    """One process of a service. `port` answers /readyz."""

    name: str
    service: Service
    port: int
    environ: Mapping[str, str]

    @property
    def argv(self) -> list[str]:
        return [sys.executable, "-m", self.service.package]


class Given(msgspec.Struct, frozen=True):
    """What the supervisor knows and a service needs: addresses, passwords, keys, folders."""

    host: str
    nats_url: str
    nats_passwords: Mapping[str, str]
    database_urls: Mapping[str, str]
    backoffice_url: str
    backoffice_token: str
    ticket_secret: str
    offline_model: str
    master_key_file: str
    folder: Path


def stages(services: Sequence[Service]) -> list[list[Service]]:
    """Groups that start one after the other, each together: first what others ask, last the door."""
    door = [service for service in services if service.name == GATEWAY]
    rest = [service for service in services if service.name != GATEWAY]
    return [group for group in (sorted(rest, key=_rank), door) if group]


def drain_order(running: Iterable[str], specialties: Iterable[str]) -> list[set[str]]:
    """Groups that stop one after the other: the door first, NATS last, each before those that it needs.

    Specialists go before the conversations, so that what they still answer is written down.
    """
    early, late = [{GATEWAY}, set(specialties), {"conversation"}], [{"postgres"}, {"nats"}]
    known = set().union(*early, *late)
    groups = [*early, set(running) - known, *late]
    return [group & set(running) for group in groups if group & set(running)]


def names_of(service: Service, replicas: Mapping[str, int]) -> list[str]:
    return [f"{service.name}-{number}" for number in range(1, replicas.get(service.name, 1) + 1)]


def read_replicas(text: str, services: Sequence[Service]) -> dict[str, int]:
    """`conversation=2,rag=2` as numbers; `all=2` is every service. CommandError names the pair that is wrong."""
    replicas: dict[str, int] = {}
    named: set[str] = set()
    known = sorted(service.name for service in services)
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, count = pair.partition("=")
        if not equals or not count.isascii() or not count.isdigit() or not 1 <= int(count) <= MOST_REPLICAS:
            raise CommandError(f"{pair!r} must be NAME=N with N from 1 to {MOST_REPLICAS}.", EXIT_USAGE)
        if name == EVERYONE:
            replicas |= everyone(services, int(count))
            continue
        if name not in known:
            raise CommandError(f"There is no service {name!r}; there are {', '.join(known)}.", EXIT_USAGE)
        if name == BACKOFFICE and count != "1":
            raise CommandError("The back office stands for a third party and runs once.", EXIT_USAGE)
        if name in named:
            raise CommandError(f"{name} is named twice in {text!r}; name it once.", EXIT_USAGE)
        named.add(name)
        replicas[name] = int(count)
    return replicas


def everyone(services: Sequence[Service], count: int) -> dict[str, int]:
    """`count` of each service that can run more than once."""
    return {service.name: count for service in services if service.name != BACKOFFICE}


def port_wishes(
    services: Sequence[Service], replicas: Mapping[str, int], fixed: Mapping[str, int], first: int
) -> dict[str, int]:
    """The port that each child would like: `fixed` for those with a setting of their own, else counted from `first`."""
    wishes = dict(fixed)
    for place, service in enumerate(sorted(services, key=_rank)):
        for offset, name in enumerate(names_of(service, replicas)):
            wishes.setdefault(name, first + place * _PORTS_A_SERVICE + offset)
    return wishes


def environment(
    service: Service, name: str, port: int, given: Given, found: Mapping[str, Found], outside: Mapping[str, str]
) -> dict[str, str]:
    """The environment of one instance: what the operator set stays, what is missing is supplied."""
    own = {
        _name_of(service, field): value
        for field, value in _supplies(service, port, given).items()
        if value and field in found and found[field].origin == "default" and not outside.get(_name_of(service, field))
    }
    own_host = found.get("host") if service.on_nats else None
    host = str(own_host.value) if own_host and own_host.origin != "default" else given.host
    mesh = {"INSTANCE": name, "HEALTH_HOST": host, "HEALTH_PORT": str(port)}
    if not outside.get("PARLEY_MESH_TRACE_FILE"):
        mesh["TRACE_FILE"] = str(given.folder / "traces" / f"{name}.jsonl")
    if service.on_nats:
        mesh |= {
            "NATS_URL": given.nats_url,
            "NATS_USER": service.name,
            "NATS_PASSWORD": given.nats_passwords[service.name],
        }
    return dict(outside) | {f"PARLEY_MESH_{key}": value for key, value in mesh.items()} | own


def owner_of(name: str) -> str:
    """The database role that owns the schema of service `name`, where that is not the service's own."""
    return f"{name}_owner"


def _name_of(service: Service, field: str) -> str:
    return _OTHER_NAMES.get((service.name, field), variable(service.name, field))


def _supplies(service: Service, port: int, given: Given) -> dict[str, str]:
    supplies = {
        "database_url": given.database_urls.get(service.name, ""),
        "migrate_database_url": given.database_urls.get(owner_of(service.name), ""),
        "data_dir": str(given.folder / service.name),
        "backoffice_url": given.backoffice_url,
        "backoffice_token": given.backoffice_token,
        "ticket_secret": given.ticket_secret,
        "offline_model": given.offline_model,
        "master_key_file": given.master_key_file,
    }
    if not service.on_nats:
        supplies |= {"host": given.host, "port": str(port), "token": given.backoffice_token}
    return supplies


def _rank(service: Service) -> tuple[int, str]:
    return (_RANK.index(service.name) if service.name in _RANK else len(_RANK), service.name)
