"""The part of JetStream's API that Parley speaks: streams, durables, reads from the leader."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from parley_mesh.bus import Stored
from parley_mesh.memory.durable import NANOSECONDS, Durable, Network
from parley_mesh.memory.log import MemoryLog
from parley_mesh.memory.wildcards import matches

NOT_FOUND, STREAM_EXISTS, UNKNOWN_STREAM, UNKNOWN_CONSUMER = 10037, 10058, 10059, 10014


class ApiError(Exception):
    def __init__(self, code: int, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


class Stream:
    """A stream with its durables; `config` as JetStream's API takes it."""

    def __init__(self, config: dict[str, Any], clock: Callable[[], int]) -> None:
        self.config = config
        self.name: str = config["name"]
        self._subjects: list[str] = config["subjects"]
        window = config.get("duplicate_window", 120_000 * NANOSECONDS) / NANOSECONDS / 1000
        most = config.get("max_msgs_per_subject", -1)
        self.log = MemoryLog(clock, duplicate_window_s=window, max_msgs_per_subject=most if most > 0 else None)
        self.durables: dict[str, Durable] = {}

    def takes(self, subject: str) -> bool:
        return any(matches(pattern, subject) for pattern in self._subjects)

    def due(self) -> int | None:
        times = [self.log.due(), *(durable.due() for durable in self.durables.values())]
        return min((when for when in times if when is not None), default=None)


class Server(Network, Protocol):
    @property
    def clock(self) -> Callable[[], int]: ...
    @property
    def streams(self) -> dict[str, Stream]: ...


def answer(server: Server, tokens: list[str], body: dict[str, Any], reply: str) -> dict[str, Any] | None:
    """What `$JS.API.<tokens>` says to `body`, None where it says nothing.

    ApiError with JetStream's own code; KeyError where nobody serves that subject.
    """
    kind, verb, *names = tokens
    return _VERBS[f"{kind}.{verb}"](server, names, body, reply)


def _create_stream(server: Server, names: list[str], body: dict[str, Any], _reply: str) -> dict[str, Any]:
    if names[0] in server.streams:
        raise ApiError(STREAM_EXISTS, "stream name already in use")
    server.streams[names[0]] = Stream(body, server.clock)
    return {"config": body}


def _update_stream(server: Server, names: list[str], body: dict[str, Any], _reply: str) -> dict[str, Any]:
    _stream(server, names[0])
    return {"config": body}


def _stream_info(server: Server, names: list[str], _body: dict[str, Any], _reply: str) -> dict[str, Any]:
    stream = _stream(server, names[0])
    return {"config": stream.config, "state": {"last_seq": stream.log.last_seq}}


def _read(server: Server, names: list[str], query: dict[str, Any], _reply: str) -> dict[str, Any]:
    if names[0] != "GET":
        raise KeyError(names[0])
    log = _stream(server, names[1]).log
    if "last_by_subj" in query:
        found = log.last(query["last_by_subj"])
    elif "next_by_subj" in query:
        found = log.next(query["next_by_subj"], query["seq"] - 1)
    else:
        found = log.at(query["seq"])
    if found is None:
        raise ApiError(NOT_FOUND, "no message found")
    return {"message": _raw(found)}


def _create_consumer(server: Server, names: list[str], body: dict[str, Any], _reply: str) -> dict[str, Any]:
    stream = _stream(server, names[0])
    if names[1] not in stream.durables:
        stream.durables[names[1]] = Durable(stream.name, body["config"], stream.log, server.clock, server)
    return stream.durables[names[1]].info()


def _consumer_info(server: Server, names: list[str], _body: dict[str, Any], _reply: str) -> dict[str, Any]:
    return _durable(server, names).info()


def _unpin(server: Server, names: list[str], _body: dict[str, Any], _reply: str) -> dict[str, Any]:
    _durable(server, names).unpin()
    return {}


def _pull(server: Server, names: list[str], body: dict[str, Any], reply: str) -> None:
    if names[0] != "NEXT":
        raise KeyError(names[0])
    # Unlike the others this one is served by the consumer itself: where there is none, nobody answers.
    server.streams[names[1]].durables[names[2]].pull(reply, body)


_VERBS: dict[str, Callable[[Server, list[str], dict[str, Any], str], dict[str, Any] | None]] = {
    "STREAM.CREATE": _create_stream,
    "STREAM.UPDATE": _update_stream,
    "STREAM.INFO": _stream_info,
    "STREAM.MSG": _read,
    "CONSUMER.CREATE": _create_consumer,
    "CONSUMER.INFO": _consumer_info,
    "CONSUMER.UNPIN": _unpin,
    "CONSUMER.MSG": _pull,
}


def _stream(server: Server, name: str) -> Stream:
    if name not in server.streams:
        raise ApiError(UNKNOWN_STREAM, "stream not found")
    return server.streams[name]


def _durable(server: Server, names: list[str]) -> Durable:
    durables = _stream(server, names[0]).durables
    if names[1] not in durables:
        raise ApiError(UNKNOWN_CONSUMER, "consumer not found")
    return durables[names[1]]


def _raw(stored: Stored) -> dict[str, Any]:
    raw = {
        "subject": stored.subject,
        "seq": stored.seq,
        "data": base64.b64encode(stored.data).decode(),
        "time": datetime.fromtimestamp(stored.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
    if stored.headers:
        lines = "".join(f"{name}: {value}\r\n" for name, value in stored.headers.items())
        raw["hdrs"] = base64.b64encode(f"NATS/1.0\r\n{lines}\r\n".encode()).decode()
    return raw
