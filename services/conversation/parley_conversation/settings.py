"""Settings of the conversation service: section `conversation`."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True):
    """Times in seconds, sizes as named. `router` is the file of a head trained by `parley route train`.

    Where nobody owns a conversation yet, its routing waits `route_timeout_s` for rag; where somebody does, only
    `reroute_timeout_s`, and the owner keeps it.

    What has not been spoken in for `memory_idle_s` leaves the memory, and is read from the log when it goes on.
    A window past `window_tokens` (four bytes each) is summarised by a model, `summaries_at_once` of them at a time.
    From 3,000 on the window's hard budget (parley_conversation.recap) comes first, and all summaries are by rules.
    """

    turn_timeout_s: float = 60.0
    max_handoffs: int = 3
    memory_budget_mb: int = 256
    memory_idle_s: float = 600.0
    router: str = ""
    route_timeout_s: float = 5.0
    reroute_timeout_s: float = 0.5
    heartbeat_s: float = 0.3
    peer_timeout_s: float = 1.2
    window_tokens: int = 2_000
    summary_timeout_s: float = 20.0
    summary_patience_s: float = 2.0
    summaries_at_once: int = 4
