from __future__ import annotations

from parley_testkit.fixtures import browser_path, mesh, nats_command, nats_server, postgres

__all__ = ["browser_path", "mesh", "nats_command", "nats_server", "postgres"]
