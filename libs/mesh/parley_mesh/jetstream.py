"""The bus on NATS JetStream: atomic batches, fenced writes and leader reads by raw headers (nats.md)."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_mesh.bus import Appended, Headers, Listener, Stored, Subscription, Write
from parley_mesh.errors import CLIENT_ERRORS, NOT_FOUND, from_api, from_client
from parley_mesh.listeners import Listeners, close
from parley_proto.envelope import MSG_ID, decode
from parley_proto.errors import ParleyError, PermanentError, TransientError
from parley_proto.reply import Refusal
from parley_proto.subjects import STREAM

EXPECT = "Nats-Expected-Last-Subject-Sequence"
ERROR_HEADER = "Parley-Error"
WRITE_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 3.0
_NO_HEADERS: dict[str, str] = {}


class _ApiError(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    duplicate: bool = False
    error: _ApiError | None = None


class _RawMessage(msgspec.Struct):
    subject: str
    seq: int
    time: str
    data: str = ""
    hdrs: str = ""


class _Got(msgspec.Struct):
    message: _RawMessage | None = None
    error: _ApiError | None = None


_acks = msgspec.json.Decoder(_Ack)
_gots = msgspec.json.Decoder(_Got)


class NatsBus:
    """`Bus` on one NATS connection, with the log `stream`."""

    def __init__(self, client: Client, stream: str = STREAM) -> None:
        self.client = client
        self._stream = stream
        self._listeners = Listeners(client)

    async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> None:
        try:
            await self.client.publish(subject, data, headers=dict(headers) if headers else None)
        except CLIENT_ERRORS as error:
            raise from_client(subject, error) from error

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        ack = await self._write(subject, data, _with(headers, msg_id, expect))
        return Appended(ack.seq, ack.duplicate)

    async def commit(self, batch: list[Write]) -> int:
        if len(batch) == 1:
            only = batch[0]
            return (await self._write(only.subject, only.data, _with(only.headers, "", only.expect))).seq
        batch_id = uuid.uuid4().hex
        for number, write in enumerate(batch[:-1], start=1):
            await self.publish(write.subject, write.data, _member(write, batch_id, number))
        final = batch[-1]
        headers = _member(final, batch_id, len(batch)) | {"Nats-Batch-Commit": "1"}
        return (await self._write(final.subject, final.data, headers)).seq

    async def last(self, subject: str) -> Stored | None:
        return await self._get({"last_by_subj": subject})

    async def next(self, subject: str, after: int) -> Stored | None:
        return await self._get({"seq": after + 1, "next_by_subj": subject})

    async def at(self, seq: int) -> Stored | None:
        return await self._get({"seq": seq})

    async def request(self, subject: str, data: bytes, *, timeout: float, headers: Headers | None = None) -> bytes:
        try:
            reply = await self.client.request(subject, data, timeout=timeout, headers=dict(headers or {}))
        except CLIENT_ERRORS as error:
            raise from_client(subject, error) from error
        raise_refusal(reply)
        return reply.data

    async def stream(
        self, subject: str, data: bytes, *, idle: float, headers: Headers | None = None
    ) -> AsyncIterator[bytes]:
        inbox = self.client.new_inbox()
        queue: asyncio.Queue[Msg] = asyncio.Queue()

        async def collect(message: Msg) -> None:
            queue.put_nowait(message)

        subscription = await self.client.subscribe(inbox, cb=collect)
        try:
            await self.client.publish(subject, data, reply=inbox, headers=dict(headers or {}))
            while True:
                message = await _within(queue, idle, subject)
                raise_refusal(message)
                if not message.data:
                    return
                yield message.data
        except CLIENT_ERRORS as error:
            raise from_client(subject, error) from error
        finally:
            await close(subscription)

    async def listen(self, subject: str, listener: Listener, *, queue: str = "") -> Subscription:
        try:
            return await self._listeners.add(subject, queue, listener)
        except CLIENT_ERRORS as error:
            raise from_client(subject, error) from error

    async def _write(self, subject: str, data: bytes, headers: dict[str, str]) -> _Ack:
        try:
            reply = await self.client.request(subject, data, timeout=WRITE_TIMEOUT_S, headers=headers)
        except CLIENT_ERRORS as error:
            raise from_client(subject, error) from error
        ack = _acks.decode(reply.data)
        if ack.error:
            raise from_api(subject, ack.error.err_code, ack.error.description)
        return ack

    async def _get(self, query: dict[str, Any]) -> Stored | None:
        subject = f"$JS.API.STREAM.MSG.GET.{self._stream}"
        try:
            reply = await self.client.request(subject, msgspec.json.encode(query), timeout=READ_TIMEOUT_S)
        except CLIENT_ERRORS as error:
            raise from_client(subject, error) from error
        got = _gots.decode(reply.data)
        if got.error and got.error.err_code == NOT_FOUND:
            return None
        if got.error:
            raise from_api(subject, got.error.err_code, got.error.description)
        return _stored(got.message) if got.message else None


async def _within(queue: asyncio.Queue[Msg], idle: float, subject: str) -> Msg:
    try:
        async with asyncio.timeout(idle):
            return await queue.get()
    except TimeoutError as error:
        raise TransientError(f"{subject} fell silent for {idle:g} s.", code="silent") from error


def raise_refusal(message: Msg) -> None:
    """Raise what a `Refusal` says; nothing for an ordinary answer."""
    headers = message.headers or _NO_HEADERS
    if headers.get("Status") == "503":
        raise TransientError(f"Nobody answers on {message.subject} just now.", code="no_responders")
    if ERROR_HEADER not in headers:
        return
    refusal: Refusal = decode(message.data, Refusal)
    kind = TransientError if refusal.retryable else PermanentError
    raise kind(refusal.message, code=refusal.code)


def refusal_of(error: ParleyError) -> tuple[bytes, dict[str, str]]:
    """Body and headers with which a service answers a request that it refuses."""
    body = Refusal(error.code, error.message, isinstance(error, TransientError))
    return msgspec.json.encode(body), {ERROR_HEADER: error.code}


def _with(headers: Headers | None, msg_id: str, expect: int | None) -> dict[str, str]:
    result = dict(headers or {})
    if msg_id:
        result[MSG_ID] = msg_id
    if expect is not None:
        result[EXPECT] = str(expect)
    return result


def _member(write: Write, batch_id: str, number: int) -> dict[str, str]:
    headers = _with(write.headers, "", write.expect)
    headers["Nats-Batch-Id"] = batch_id
    headers["Nats-Batch-Sequence"] = str(number)
    return headers


def _stored(raw: _RawMessage) -> Stored:
    headers = _parse_headers(base64.b64decode(raw.hdrs)) if raw.hdrs else {}
    return Stored(raw.subject, raw.seq, base64.b64decode(raw.data), headers, to_ms(raw.time))


def _parse_headers(raw: bytes) -> dict[str, str]:
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


def to_ms(stamp: str) -> int:
    """Milliseconds of an RFC 3339 time with nanoseconds."""
    head, _, tail = stamp.rstrip("Z").partition(".")
    whole = datetime.fromisoformat(head + "+00:00").timestamp()
    return int(whole * 1000) + int((tail + "000")[:3])
