"""The notices in force, read from their own stream: late joiners and restarted services see what was said before."""

from __future__ import annotations

from collections.abc import Callable

from nats.aio.client import Client

from parley_mesh.bus import Stored
from parley_mesh.tail import Tail
from parley_mesh.telemetry import log
from parley_proto.broadcast import Notice, read_notice
from parley_proto.envelope import now_ms
from parley_proto.errors import PermanentError
from parley_proto.subjects import BROADCAST_STREAM, BROADCASTS

MAX_NOTICES = 50


class NoticeBoard:
    """Keeps the newest `MAX_NOTICES` broadcasts; what has expired is not in force."""

    def __init__(self, client: Client, on_notice: Callable[[Notice], None] | None = None) -> None:
        self._notices: dict[str, Notice] = {}
        self._on_notice = on_notice
        self._tail = Tail(client, BROADCAST_STREAM, BROADCASTS, self._read, start="all")

    async def open(self) -> None:
        await self._tail.open()

    async def close(self) -> None:
        await self._tail.close()

    def in_force(self, specialty: str = "") -> list[Notice]:
        """Oldest first; `specialty` adds those in its scope to those for all."""
        now = now_ms()
        return [notice for notice in self._notices.values() if notice.in_force(now, specialty)]

    def _read(self, stored: Stored) -> None:
        try:
            notice = read_notice(stored.subject, stored.data, stored.seq, stored.at)
        except PermanentError as error:
            log("parley.mesh").warning("notice refused", extra={"subject": stored.subject, "reason": error.message})
            return
        self._notices[notice.notice_id] = notice
        while len(self._notices) > MAX_NOTICES:
            self._notices.pop(next(iter(self._notices)))
        if self._on_notice and notice.in_force(now_ms(), notice.scope):
            self._on_notice(notice)
