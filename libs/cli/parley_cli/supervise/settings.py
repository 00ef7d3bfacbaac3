"""What an operator decides about `parley up`: section `up`, so `PARLEY_UP_NATS_PORT` and so on."""

from __future__ import annotations

from typing import Annotated

import msgspec

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class UpSettings(msgspec.Struct, frozen=True):
    """A port is a wish, here and in a service's own settings: when it is taken, the next free one is used and said.

    `port_base` above 0 counts all ports from there instead. `max_file_store` and `sync_interval` are nats-server's
    (empty: its own default, two minutes; in a cluster `always`). `nodes` is how many nats-servers run, 1, 3 or 5 (0: as
    many as the folder was begun with, else one); several compare what they hold every `scrub_s` seconds (0: never).
    More than `restarts` restarts of one child within `restart_window_s` give it up, and stop everything when nobody
    else does its work. `only` names the services to start, with commas between; empty starts all.
    """

    host: str = "127.0.0.1"
    nats_port: Port = 4222
    postgres_port: Port = 5433
    port_base: Port = 0
    max_file_store: str = "8GB"
    sync_interval: str = ""
    nodes: int = 0
    scrub_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 600.0
    restarts: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 10
    restart_window_s: Seconds = 60.0
    ready_s: Seconds = 300.0
    drain_s: Seconds = 15.0
    only: str = ""
    log_bytes: Annotated[int, msgspec.Meta(ge=10_000)] = 16_000_000
