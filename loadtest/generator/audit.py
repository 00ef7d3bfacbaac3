"""What the log itself says of a run: the customers' sockets can't see an answer that came when they had left."""

from __future__ import annotations

from collections import Counter

from nats.aio.client import Client

from parley_mesh.bus import Stored
from parley_mesh.tail import Tail
from parley_proto import subjects
from parley_proto.conversation import MessageShown, RunEnded, Shown
from parley_proto.envelope import decode

_READ_S = 300.0


class Record:
    """The resume logs of all conversations, from the moment `since_ms` on. Pure: feed it the entries."""

    def __init__(self, since_ms: int) -> None:
        self._since_ms = since_ms
        self._asked: set[str] = set()
        self._answers: Counter[str] = Counter()
        self._shown: set[str] = set()

    def take(self, stored: Stored) -> None:
        entry: Shown = decode(stored.data, Shown)
        if stored.at < self._since_ms or not isinstance(entry, MessageShown | RunEnded):
            return
        if isinstance(entry, MessageShown) and entry.role == "customer":
            self._asked.add(entry.message_id)
        elif isinstance(entry, RunEnded) or entry.message_id not in self._shown:
            self._answers.update(entry.answers)
        if isinstance(entry, MessageShown):
            self._shown.add(entry.message_id)

    def figures(self) -> dict[str, int]:
        """`messages` of customers, those without an answer, and answers beyond the first one."""
        return {
            "messages": len(self._asked),
            "lost": sum(not self._answers[name] for name in self._asked),
            "duplicated": sum(max(0, count - 1) for count in self._answers.values()),
        }


async def audit(client: Client, since_ms: int) -> dict[str, int]:
    """Read the whole log. An empty one when it can't be read to its end."""
    record = Record(since_ms)
    tail = Tail(client, subjects.STREAM, subjects.ALL_OUT, record.take, start="all")
    await tail.open()
    await tail.catch_up(_READ_S)
    await tail.close()
    return record.figures() if tail.caught_up else {}
