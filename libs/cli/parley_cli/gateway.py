"""Where the gateway is: said on the command line, in PARLEY_URL, or known from the mesh that runs here."""

from __future__ import annotations

import argparse
import os

from parley_cli.errors import EXIT_USAGE, CommandError, NotRunningError
from parley_cli.supervise import state
from parley_cli.supervise.home import Home


def url_of(args: argparse.Namespace) -> str:
    """The address without a slash at its end, of several gateways with commas between.

    NotRunningError when nothing tells it.
    """
    found = state.running(Home.at(args.data))
    url: str = args.url or os.environ.get("PARLEY_URL", "") or (",".join(found.urls) if found else "")
    if not url:
        raise NotRunningError
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"{url!r} must be an address such as http://127.0.0.1:8080.", EXIT_USAGE)
    return url.rstrip("/")
