"""What a customer's page reads of the gateway's frames: only the fields that a load needs, decoded at once."""

from __future__ import annotations

from typing import Any

import msgspec


class Facts(msgspec.Struct):
    answers: list[str] = []
    kind: str = ""


class Metadata(msgspec.Struct):
    parley: Facts = msgspec.field(default_factory=Facts)


class Event(msgspec.Struct):
    """`delta` is text in a message's content only."""

    type: str
    messageId: str = ""
    role: str = ""
    delta: Any = ""
    metadata: Metadata | None = None

    @property
    def facts(self) -> Facts:
        return self.metadata.parley if self.metadata else Facts()


class Frame(msgspec.Struct):
    type: str
    id: str = ""
    messageId: str = ""
    threadId: str = ""
    seq: int = 0
    code: str = ""
    retryAfterMs: int = 0
    reconnectInMs: int = 0
    ev: Event | None = None


_decoder = msgspec.json.Decoder(Frame)
_encoder = msgspec.json.Encoder()


def read(data: str) -> Frame:
    return _decoder.decode(data)


def hello(ticket: str, thread: str, since: int) -> str:
    frame: dict[str, Any] = {"type": "hello", "ticket": ticket, "since": since}
    return _encoder.encode(frame | ({"threadId": thread} if thread else {})).decode()


def message(client_id: str, text: str) -> str:
    return _encoder.encode({"type": "message.send", "id": client_id, "content": text}).decode()
