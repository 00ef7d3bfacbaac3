"""What the back office knows of the devices at a customer's home. Times are UTC."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Device(msgspec.Struct, frozen=True):
    """A device; `signal_dbm` is missing while it is offline."""

    device_id: str
    kind: str
    model: str
    firmware: str
    latest_firmware: str
    status: str
    signal_dbm: int | None
    last_seen: datetime
    restarted_at: datetime | None
