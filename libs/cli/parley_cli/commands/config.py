"""`parley config show`: every setting of every service, and where its value comes from."""

from __future__ import annotations

import argparse
import os
from typing import Any

import msgspec

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.supervise.services import discover, found_settings
from parley_cli.supervise.settings import UpSettings
from parley_cli.table import print_table
from parley_mesh.settings import Found, MeshSettings, explain, is_secret
from parley_mesh.topology import TopologySettings

_HIDDEN = "********"
_COMMON: dict[str, type[msgspec.Struct]] = {"mesh": MeshSettings, "topology": TopologySettings, "up": UpSettings}


def show(args: argparse.Namespace) -> int:
    """A line a setting; SettingsError (exit 2) names the first one that is wrong in parley.toml."""
    wanted = args.name.upper().replace(".", "_").replace("-", "_")
    rows = [_row(section, name, found) for section, name, found in _all() if wanted in found.variable]
    if not rows:
        raise CommandError(
            f"No setting has {args.name!r} in its name; `parley config show` lists them all.", EXIT_USAGE
        )
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(rows), indent=2).decode())
        return 0
    columns = ["variable", "value", "origin"] if args.origin else ["variable", "value"]
    print_table(columns, [[str(row[column]) for column in columns] for row in rows])
    return 0


def _all() -> list[tuple[str, str, Found]]:
    found = [(section, explain(kind, section)) for section, kind in _COMMON.items()]
    found += [(service.name, found_settings(service, os.environ)) for service in discover()]
    return [(section, name, item) for section, settings in found for name, item in settings.items()]


def _row(section: str, name: str, found: Found) -> dict[str, Any]:
    hidden = is_secret(name) and found.value not in ("", None)
    value = _HIDDEN if hidden else found.value
    return {
        "section": section,
        "setting": name,
        "variable": found.variable,
        "value": "" if value is None else value,
        "origin": found.origin,
    }
