"""What the back office knows of matters that people look at. Times are UTC."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Ticket(msgspec.Struct, frozen=True):
    ticket_id: str
    subject: str
    status: str
    created_at: datetime
