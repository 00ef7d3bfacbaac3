"""The frames of `WS /v1/ws`: what a client may say, and what it is told. One JSON object each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from parley_gateway.domain import (
    HEARTBEAT_MS,
    MAX_COMMENT,
    MAX_DEPTH,
    MAX_FRAME,
    MAX_ID,
    MAX_PARTS,
    check_client_id,
    check_content,
    check_specialty,
    parts,
    too_deep,
)
from parley_gateway.settings import Settings
from parley_proto.conversation import MAX_TEXT_BYTES
from parley_proto.envelope import valid_id
from parley_proto.errors import ParleyError

RESTART, OVERLOAD, TOO_LARGE, POLICY, FAILED = 1012, 1013, 1009, 1008, 1011
BAD_SEQ, TOO_FAST, EXPIRED = 4007, 4008, 4009
MAX_SEQ = 2**53


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="hello"):
    """First of all: the ticket, and the conversation to go on with after `since`, if there is one."""

    ticket: str
    threadId: str | None = None
    since: int = 0


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="message.send"):
    """The customer's words; `id` is the client's own and makes a resend harmless."""

    id: str
    content: str
    threadId: str | None = None

    def check(self) -> None:
        check_client_id(self.id)
        check_content(self.content)


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="run.cancel"):
    """Stop the answer that is being written."""

    id: str | None = None
    threadId: str | None = None
    runId: str | None = None

    def check(self) -> None:
        return


class AskPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="handoff.request"):
    """The customer chooses who answers: a person, or a specialty by name."""

    id: str | None = None
    threadId: str | None = None
    to: str = "escalation"

    def check(self) -> None:
        check_specialty(self.to)


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="feedback"):
    messageId: str
    rating: Literal["up", "down"]
    comment: str = ""
    id: str | None = None
    threadId: str | None = None

    def check(self) -> None:
        check_client_id(self.messageId)
        if len(self.comment) > MAX_COMMENT or "\x00" in self.comment:
            raise ParleyError(f"A comment has at most {MAX_COMMENT} characters and no NUL.", code="bad_content")


class Typing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="typing"):
    """Accepted and not passed on: nobody on the other side waits for it yet."""

    threadId: str | None = None
    typing: bool = True

    def check(self) -> None:
        return


class Read(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="read"):
    """Accepted and not recorded: where a customer has read to is kept by the client itself."""

    threadId: str | None = None
    seq: int = 0

    def check(self) -> None:
        return


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ping"):
    id: str | None = None

    def check(self) -> None:
        return


Action = Said | Cancel | AskPerson | Rate
Frame = Hello | Action | Typing | Read | Ping


class BadFrame(ParleyError):
    """A frame that is refused: `code` for the client, `client_id` when the frame had one."""

    code = "malformed"

    def __init__(self, message: str, *, code: str = "malformed", client_id: str = "") -> None:
        super().__init__(message, code=code)
        self.client_id = client_id


class _Head(msgspec.Struct):
    type: str
    id: Any = None


_head = msgspec.json.Decoder(_Head)
_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    str(kind.__struct_config__.tag): msgspec.json.Decoder(kind)
    for kind in (Hello, Said, Cancel, AskPerson, Rate, Typing, Read, Ping)
}
_encoder = msgspec.json.Encoder()


def read(text: str) -> Frame:
    """The frame in `text`; BadFrame `too_large`, `malformed` or `unknown_type` says what is wrong with it."""
    if len(text) * 4 > MAX_FRAME and len(text.encode("utf-8", "replace")) > MAX_FRAME:
        raise BadFrame(f"A frame has at most {MAX_FRAME} bytes.", code="too_large")
    if parts(text) > MAX_PARTS:
        raise BadFrame(f"A frame has at most {MAX_PARTS:,} lists and objects.")
    if too_deep(text):
        raise BadFrame(f"A frame is nested at most {MAX_DEPTH} deep.")
    head = _decode(_head, text, "")
    client_id = head.id if isinstance(head.id, str) and len(head.id) <= MAX_ID else ""
    decoder = _decoders.get(head.type)
    if decoder is None:
        raise BadFrame(f"{head.type[:40]!r} is not a frame of this protocol.", code="unknown_type", client_id=client_id)
    frame: Frame = _decode(decoder, text, client_id)
    return frame


def _decode(decoder: msgspec.json.Decoder[Any], text: str, client_id: str) -> Any:
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadFrame(f"The frame can't be read: {str(error)[:200]}.", client_id=client_id) from error


def id_of(frame: Frame) -> str:
    """The client's own id of a frame, '' when it has none: errors name it."""
    return getattr(frame, "id", None) or ""


def check_hello(hello: Hello) -> None:
    """BadFrame `bad_id` or `bad_seq` for what can't name a conversation or a place in it."""
    if hello.threadId is not None and not valid_id(hello.threadId):
        raise BadFrame("threadId must be 16 to 64 of A-Z a-z 0-9 _ -.", code="bad_id")
    if not 0 <= hello.since < MAX_SEQ:
        raise BadFrame("since must be the seq of an event that you have seen, or 0.", code="bad_seq")


def encode(frame: dict[str, Any]) -> str:
    return _encoder.encode(frame).decode()


def welcome(thread: str, resume: str, settings: Settings, degraded: Sequence[str] = ()) -> dict[str, Any]:
    """`degraded` names what does not work just now; a CUSTOM event `parley.degraded` tells of each change."""
    limits = {
        "maxFrameBytes": MAX_FRAME,
        "maxContentBytes": MAX_TEXT_BYTES,
        "maxDepth": MAX_DEPTH,
        "messagesPerMinute": settings.messages_per_minute,
    }
    frame = {"type": "welcome", "threadId": thread, "heartbeatMs": HEARTBEAT_MS, "limits": limits, "resume": resume}
    return frame | {"degraded": list(degraded)}


def ack(client_id: str, message: str, seq: int, *, duplicate: bool) -> dict[str, Any]:
    return {"type": "ack", "id": client_id, "messageId": message, "seq": seq, "duplicate": duplicate}


def event(thread: str, ev: dict[str, Any], seq: int) -> dict[str, Any]:
    if not seq:
        return {"type": "event", "threadId": thread, "ev": ev}
    return {"type": "event", "threadId": thread, "seq": seq, "ev": ev}


def error(code: str, message: str, *, client_id: str = "", retry_ms: int = 0) -> dict[str, Any]:
    frame: dict[str, Any] = {"type": "error", "code": code, "message": message}
    if client_id:
        frame["id"] = client_id
    if retry_ms:
        frame["retryAfterMs"] = retry_ms
    return frame


def going_away(reconnect_ms: int) -> dict[str, Any]:
    return {"type": "going_away", "reconnectInMs": reconnect_ms}


def pong(frame: Ping) -> dict[str, Any]:
    return {"type": "pong", "id": frame.id} if frame.id else {"type": "pong"}
