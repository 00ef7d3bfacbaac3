"""Which services there are: found by their entry points, so that adding one is adding a folder."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points

import msgspec

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.supervise.settings import Port
from parley_mesh.settings import Found, MeshSettings, explain, load
from parley_proto.errors import SettingsError

SERVICES = "parley.services"
SPECIALISTS = "parley.specialists"
OFF_THE_MESH = frozenset({"backoffice"})


class Service(msgspec.Struct, frozen=True):
    """One kind of process. `settings` is where its Struct is, `package.settings:Settings`."""

    name: str
    settings: str
    specialist: bool = False

    @property
    def package(self) -> str:
        """What `python -m` runs."""
        return self.settings.partition(".")[0]

    @property
    def on_nats(self) -> bool:
        return self.name not in OFF_THE_MESH


def discover(only: str = "") -> list[Service]:
    """Every installed service, or those in `only`, by name; CommandError when there is none, or not that one."""
    found = [_service(point, specialist=False) for point in entry_points(group=SERVICES)]
    found += [_service(point, specialist=True) for point in entry_points(group=SPECIALISTS)]
    if not found:
        raise CommandError("No service of Parley is installed; run `make up` in the project's folder.", EXIT_USAGE)
    known = {service.name: service for service in sorted(found, key=lambda service: service.name)}
    return [_named(name.strip(), known) for name in only.split(",")] if only.strip() else list(known.values())


def settings_type(service: Service) -> type[msgspec.Struct]:
    """The Struct with the service's settings. CommandError when the package is not whole."""
    module, _, name = service.settings.partition(":")
    try:
        kind: type[msgspec.Struct] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise CommandError(
            f"The service {service.name} can't be loaded from {service.settings}: {error}. Where its folder was "
            f"removed, remove its package as well: {sys.executable} -m pip uninstall {_package(service)}."
        ) from error
    return kind


def _package(service: Service) -> str:
    return service.settings.partition(".")[0].replace("_", "-")


def found_settings(service: Service, environ: Mapping[str, str]) -> dict[str, Found]:
    return explain(settings_type(service), service.name, environ)


def port_of(service: Service, environ: Mapping[str, str]) -> int:
    """The port that the service's own settings name, 0 where they name none. SettingsError when it is no port."""
    found = found_settings(service, environ).get("port")
    if found is None:
        return 0
    try:
        return msgspec.convert(found.value, Port, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{found.variable} must be a port from 0 to 65535, not {found.value!r}.") from error


def check(service: Service, environ: Mapping[str, str]) -> None:
    """SettingsError names the setting that would keep the service from starting."""
    kind = settings_type(service)
    # A service that is no part of the mesh may read its environment in its own way.
    own_way = getattr(importlib.import_module(kind.__module__), "from_env", None)
    try:
        own_way(environ) if own_way else load(kind, service.name, environ)
        if service.on_nats:
            load(MeshSettings, "mesh", environ)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _named(name: str, known: Mapping[str, Service]) -> Service:
    if name not in known:
        raise CommandError(f"There is no service {name!r}; there are {', '.join(known)}.", EXIT_USAGE)
    return known[name]


def _service(point: EntryPoint, *, specialist: bool) -> Service:
    return Service(point.name, point.value, specialist)
