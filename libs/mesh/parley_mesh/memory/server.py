"""A NATS server in memory: core messages, streams, and as much of JetStream's API as Parley speaks (nats.md)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from parley_mesh.bus import Write
from parley_mesh.memory.api import ApiError, Stream, answer
from parley_mesh.memory.log import RefusedError
from parley_mesh.memory.wildcards import matches
from parley_proto.envelope import now_ms

API = "$JS.API."
ACK = "$JS.ACK."
EXPECT = "Nats-Expected-Last-Subject-Sequence"
BATCH, COMMIT = "Nats-Batch-Id", "Nats-Batch-Commit"


class Listening(Protocol):
    """A subscription of one connection. `receive` must not block."""

    @property
    def subject(self) -> str: ...
    @property
    def queue(self) -> str: ...

    def receive(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None: ...


class MemoryServer:
    """`clock` gives milliseconds. Under a clock that is moved by hand, `tick()` lets what became due happen."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self.clock = clock
        self.streams: dict[str, Stream] = {}
        self._listening: list[Listening] = []
        self._batches: defaultdict[str, list[Write]] = defaultdict(list)
        self._timer: asyncio.TimerHandle | None = None
        self._arming = False

    def subscribe(self, listening: Listening) -> None:
        self._listening.append(listening)

    def unsubscribe(self, listening: Listening) -> None:
        if listening in self._listening:
            self._listening.remove(listening)

    def listening(self, subject: str) -> bool:
        return any(matches(one.subject, subject) for one in self._listening)

    def deliver(self, inbox: str, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        """To all who listen to `inbox`, and to one of each queue group."""
        groups: set[str] = set()
        for one in [one for one in self._listening if matches(one.subject, inbox)]:
            if not one.queue or one.queue not in groups:
                one.receive(subject, data, reply, headers)
            groups.add(one.queue)

    def publish(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        """What a connection sends: for the API, an acknowledgement, a stream, or just for those who listen."""
        if subject.startswith(API):
            self._call(subject[len(API) :].split("."), data, reply)
        elif subject.startswith(ACK):
            self._acknowledge(subject.split("."), data)
        else:
            self._pass_on(subject, data, reply, headers)
        self._arm()

    def tick(self) -> None:
        """Let happen what is due: redeliveries, ends of pulls and pins, scheduled messages."""
        for stream in self.streams.values():
            stream.log.tick()
            for durable in stream.durables.values():
                durable.pump()
        self._arm()

    def _pass_on(self, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        stream = next((one for one in self.streams.values() if one.takes(subject)), None)
        if stream:
            # Core subscribers hear of it first, and of what is refused as well (tried).
            self.deliver(subject, subject, data, reply, headers)
            self._write(stream, subject, data, reply, headers)
        elif self.listening(subject):
            self.deliver(subject, subject, data, reply, headers)
        elif reply:
            self._respond(reply, b"", {"Status": "503", "Nats-Subject": subject})

    def _write(self, stream: Stream, subject: str, data: bytes, reply: str, headers: dict[str, str]) -> None:
        expect = int(headers[EXPECT]) if EXPECT in headers else None
        batch = [Write(subject, data, {name: value for name, value in headers.items() if name != EXPECT}, expect)]
        batch_id = headers.get(BATCH)
        if batch_id and COMMIT not in headers:
            self._batches[batch_id] += batch
            return
        batch = self._batches.pop(batch_id, []) + batch if batch_id else batch
        try:
            stored = stream.log.write(batch)
        except RefusedError as error:
            self._respond(reply, _error(error.code, error.description))
            return
        told: dict[str, Any] = {"stream": stream.name, "seq": stored.seq}
        self._respond(reply, msgspec.json.encode(told | ({"duplicate": True} if stored.duplicate else {})))
        for durable in stream.durables.values():
            durable.pump()

    def _acknowledge(self, tokens: list[str], data: bytes) -> None:
        stream = self.streams.get(tokens[2])
        durable = stream.durables.get(tokens[3]) if stream else None
        if durable:
            options = msgspec.json.decode(data[5:]) if data.startswith(b"-NAK ") else {}
            durable.acknowledge(int(tokens[5]), data, options.get("delay", 0) // 1_000_000)

    def _call(self, tokens: list[str], data: bytes, reply: str) -> None:
        try:
            told = answer(self, tokens, msgspec.json.decode(data or b"{}"), reply)
        except ApiError as error:
            self._respond(reply, _error(error.code, error.description))
        except LookupError:
            # Nobody serves an API of a stream or consumer that is not there.
            self._respond(reply, b"", {"Status": "503", "Nats-Subject": API + ".".join(tokens)})
        else:
            if told is not None:
                self._respond(reply, msgspec.json.encode(told))

    def _respond(self, reply: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        if reply:
            self.deliver(reply, reply, data, "", headers or {})

    def _arm(self) -> None:
        """Be awake when the next thing is due; looked up once for all that happens at this moment."""
        if not self._arming:
            self._arming = True
            asyncio.get_running_loop().call_soon(self._set_timer)

    def _set_timer(self) -> None:
        self._arming = False
        if self._timer:
            self._timer.cancel()
        times = [when for stream in self.streams.values() if (when := stream.due()) is not None]
        delay = max(min(times, default=0) - self.clock(), 1) / 1000
        self._timer = asyncio.get_running_loop().call_later(delay, self.tick) if times else None


def _error(code: int, description: str) -> bytes:
    return msgspec.json.encode({"error": {"code": 400, "err_code": code, "description": description}})
