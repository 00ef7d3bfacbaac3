"""Settings: flags > `PARLEY_*` > parley.toml > defaults, read once, shown by `parley config show`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from parley_proto.errors import SettingsError

S = TypeVar("S", bound=msgspec.Struct)
CONFIG_FILE = "PARLEY_CONFIG"
SECRET_WORDS = ("password", "token", "key", "secret", "database_url")


class MeshSettings(msgspec.Struct, frozen=True):
    """What every service needs: section `mesh`, so `PARLEY_MESH_NATS_URL` and so on."""

    nats_url: str = "nats://127.0.0.1:4222"
    nats_user: str = ""
    nats_password: str = ""
    instance: str = ""
    health_host: str = "127.0.0.1"
    health_port: int = 0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    trace_file: str = ""
    trace_sample: float = 0.1
    shards: int = 64
    tenant: str = "default"
    drain_s: float = 10.0


class Found(msgspec.Struct, frozen=True):
    """One setting with its value and where it came from."""

    variable: str
    value: Any
    origin: str


def load(kind: type[S], section: str, environ: Mapping[str, str] | None = None) -> S:
    """`kind` for `section` ('' for none) from the environment and parley.toml.

    SettingsError names the variable that is wrong and what it should be.
    """
    found = explain(kind, section, environ)
    values = {name: item.value for name, item in found.items() if item.origin != "default"}
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(_sentence(section, error, found)) from error


def explain(kind: type[msgspec.Struct], section: str, environ: Mapping[str, str] | None = None) -> dict[str, Found]:
    """Every field of `kind` with its value and origin, for `parley config show --origin`."""
    env = os.environ if environ is None else environ
    path = env.get(CONFIG_FILE, "parley.toml")
    table = _table(Path(path), section)
    fields = msgspec.structs.fields(kind)
    _refuse_unknown(table, {field.name for field in fields}, path, section)
    return {field.name: _find(field, section, env, table, path) for field in fields}


def is_secret(name: str) -> bool:
    """True where `parley config show` must not print the value."""
    return any(name.endswith(word) for word in SECRET_WORDS)


def variable(section: str, field: str) -> str:
    prefix = f"PARLEY_{section.replace('-', '_')}_" if section else "PARLEY_"
    return f"{prefix}{field}".upper()


def _find(
    field: msgspec.structs.FieldInfo, section: str, env: Mapping[str, str], table: dict[str, Any], path: str
) -> Found:
    name = variable(section, field.name)
    if env.get(name, "") != "":
        return Found(name, env[name], name)
    if field.name in table:
        return Found(name, table[field.name], path)
    return Found(name, None if field.required else field.default, "default")


def _table(path: Path, section: str) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {error}. Correct it or remove it.") from error
    table = content.get(section, {}) if section else {k: v for k, v in content.items() if not isinstance(v, dict)}
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: [{section}] must be a table of settings.")
    return table


def _refuse_unknown(table: dict[str, Any], known: set[str], path: str, section: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown and section:
        raise SettingsError(f"{path}: [{section}] has no setting {unknown[0]!r}. It knows {', '.join(sorted(known))}.")


def _sentence(section: str, error: msgspec.ValidationError, found: dict[str, Found]) -> str:
    text = str(error)
    for name, item in found.items():
        if f"$.{name}" in text:
            shown = "the value given" if is_secret(name) else repr(item.value)
            where = "" if item.origin == item.variable else f" in {item.origin}"
            return f"{item.variable} is wrong{where}: {shown} ({text.split(' - ')[0]})."
    return f"The settings of {section or 'parley'} are not valid: {text}."
