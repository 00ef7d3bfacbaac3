"""`parley check`: judge a recorded history; the command comes from the testkit, where that is installed."""

from __future__ import annotations

import argparse
from importlib.metadata import entry_points

from parley_cli.commands.kb import COMMANDS
from parley_cli.errors import EXIT_USAGE, CommandError


def run(args: argparse.Namespace) -> int:
    """What the testkit's command returns: 1 for a broken promise; CommandError for a line that is no record."""
    found = entry_points(group=COMMANDS, name="check")
    if not found:
        raise CommandError("parley-testkit is not installed here, and it is what checks: install it.", EXIT_USAGE)
    result: int = next(iter(found)).load()(args)
    return result
