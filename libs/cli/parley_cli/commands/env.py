"""`parley env`: addresses and the operator's identity, as a shell reads them."""

from __future__ import annotations

import argparse
import shlex

from parley_cli.operator import identity
from parley_cli.supervise import state
from parley_cli.supervise.home import Home


def run(args: argparse.Namespace) -> int:
    """Print `export NAME=value` lines for `eval "$(parley env)"`: the nats command reads them as well."""
    home = Home.at(args.data)
    who, found = identity(home), state.running(home)
    values = {"NATS_URL": who.nats_url, "NATS_USER": who.nats_user, "NATS_PASSWORD": who.nats_password}
    if found:
        values |= {"PARLEY_URL": found.url, "PARLEY_DATA": str(home.root)}
    for name, value in values.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
