"""A durable as the server keeps it: its state, who waits for its messages, and the messages on their way to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from parley_mesh.memory.consumer import MemoryConsumer, Taken
from parley_mesh.memory.log import MemoryLog
from parley_mesh.memory.pulls import Pull, Pulls, Status

# In a millisecond.
NANOSECONDS = 1_000_000
FOREVER = 10**18


class Network(Protocol):
    """How a durable reaches those who pull from it."""

    def listening(self, inbox: str) -> bool: ...

    def deliver(self, inbox: str, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None: ...


class Durable:
    """`config` as JetStream's API takes it: times in nanoseconds."""

    def __init__(
        self, stream: str, config: dict[str, Any], log: MemoryLog, clock: Callable[[], int], network: Network
    ) -> None:
        self._stream = stream
        self._name = config["durable_name"]
        self._config = config
        self._clock = clock
        self._network = network
        self._seen = 0
        self._consumer = MemoryConsumer(
            log,
            clock,
            filters=config.get("filter_subjects", []),
            ack_wait_ms=config.get("ack_wait", 30_000 * NANOSECONDS) // NANOSECONDS,
            max_ack_pending=config.get("max_ack_pending", 1000),
        )
        pinned = config.get("priority_policy") == "pinned_client"
        timeout = config.get("priority_timeout", 0) // NANOSECONDS if pinned else 0
        self._pulls = Pulls(clock, self._tell, timeout)

    def pull(self, inbox: str, request: dict[str, Any]) -> None:
        expires = request.get("expires", 0)
        deadline = self._clock() + (expires or FOREVER) // NANOSECONDS
        # With a time of its own it does wait, `no_wait` or not (tried).
        no_wait = bool(request.get("no_wait")) and not expires
        pull = Pull(inbox, request.get("batch", 1), deadline, request.get("id", ""), no_wait)
        self._pulls.add(pull, group=request.get("group", ""))
        self.pump()

    def acknowledge(self, seq: int, body: bytes, delay_ms: int) -> None:
        """`body` is the kind of acknowledgement; whatever is not one of the others is an ack."""
        if body.startswith(b"-NAK"):
            self._consumer.give_back(seq, delay_ms)
        elif body == b"+WPI":
            self._consumer.extend(seq)
        else:
            self._consumer.settle(seq)
        self.pump()

    def unpin(self) -> None:
        self._pulls.unpin()
        self.pump()

    def pump(self) -> None:
        """Hand out what can be handed out now."""
        self._pulls.tick()
        while self._consumer.ready() and (pull := self._pulls.turn()):
            if not self._network.listening(pull.inbox):
                self._pulls.leave(pull.inbox)
                continue
            taken = self._consumer.take()
            if taken:
                self._pulls.served(pull)
                self._send(pull, taken)
        if not self._consumer.ready():
            self._pulls.nothing()

    def due(self) -> int | None:
        """When something happens by itself, milliseconds: what nobody waits for does not."""
        again = self._consumer.due() if self._pulls.open else None
        times = [when for when in (again, self._pulls.due()) if when is not None]
        return min(times, default=None)

    def info(self) -> dict[str, Any]:
        consumer = self._consumer
        return {
            "stream_name": self._stream,
            "name": self._name,
            "config": self._config,
            "delivered": {"consumer_seq": consumer.delivered, "stream_seq": self._seen},
            "ack_floor": {"stream_seq": consumer.ack_floor},
            "num_ack_pending": consumer.ack_pending,
            "num_pending": consumer.pending,
        }

    def _send(self, pull: Pull, taken: Taken) -> None:
        stored = taken.stored
        self._seen = max(self._seen, stored.seq)
        numbers = (taken.attempt, stored.seq, taken.number, stored.at * NANOSECONDS, taken.pending)
        reply = ".".join(["$JS.ACK", self._stream, self._name, *map(str, numbers)])
        headers = stored.headers | ({"Nats-Pin-Id": self._pulls.pin} if self._pulls.pin else {})
        self._network.deliver(pull.inbox, stored.subject, stored.data, reply, headers)

    def _tell(self, inbox: str, status: Status) -> None:
        code, description = status
        self._network.deliver(inbox, inbox, b"", "", {"Status": str(code), "Description": description})
