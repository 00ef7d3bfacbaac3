"""Which specialties there are: each puts its card into a bucket, everybody reads along."""

from __future__ import annotations

from nats.aio.client import Client

from parley_mesh.bus import Stored
from parley_mesh.tail import Tail
from parley_proto.envelope import decode
from parley_proto.specialist import Burst, Card
from parley_proto.subjects import CARDS, SPECIALISTS_STREAM


class Directory:
    """The cards of all specialties, by name; one that is replaced is seen at once."""

    def __init__(self, client: Client) -> None:
        self._cards: dict[str, Card] = {}
        self._tail = Tail(client, SPECIALISTS_STREAM, CARDS, self._read, start="last")

    async def open(self) -> None:
        await self._tail.open()

    async def read(self, timeout_s: float) -> None:
        """Wait until the cards that are there have been read, `timeout_s` at most."""
        await self._tail.catch_up(timeout_s)

    async def close(self) -> None:
        await self._tail.close()

    def names(self) -> list[str]:
        return sorted(self._cards)

    def cards(self) -> list[Card]:
        return [self._cards[name] for name in self.names()]

    def burst(self, name: str) -> Burst:
        """What becomes of messages that arrive during a turn of specialty `name`."""
        card = self._cards.get(name)
        return card.burst if card else "merge"

    def _read(self, stored: Stored) -> None:
        name = stored.subject.rpartition(".")[2]
        if stored.data:
            self._cards[name] = decode(stored.data, Card)
        else:
            self._cards.pop(name, None)
