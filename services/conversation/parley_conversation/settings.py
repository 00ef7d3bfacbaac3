"""Settings of the conversation service: section `conversation`."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """Times in seconds, sizes as named. `router` is the file of a head trained by `parley route train`."""

    turn_timeout_s: float = 60.0
    max_handoffs: int = 3
    memory_budget_mb: int = 256
    open_batches: int = 20
    router: str = ""
    route_timeout_s: float = 5.0
    heartbeat_s: float = 0.3
    peer_timeout_s: float = 1.2
