"""A client of the gateway's WebSocket that loses nothing: it reconnects, resumes and resends until it is answered.

Used by `parley chat` and `parley replay`, and by load tests. The protocol: chat-protocol.md, 'The WebSocket frames'.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import aiohttp
import msgspec

from parley_cli.errors import CommandError
from parley_cli.transcript import Handoff, Message, Transcript
from parley_mesh.tasks import end

_MAX_FRAME = 1 << 20
_CONNECT_S = 10.0
_ACK_S = 5.0
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 3.0
_TOO_LARGE, _BAD_SEQ, _EXPIRED = 1009, 4007, 4009
_HOPELESS = {"bad_id", "bad_origin", "malformed", "unknown_conversation", "unknown_type"}
_UNKNOWN_TRIES = 3
_RETRIED = {"internal", "unavailable", "overloaded", "rate_limited", "restart"}

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
Watch = Callable[[dict[str, Any]], None]
Tell = Callable[[str], None]


class Wire(Protocol):
    """Sees what goes over the wire: each frame before it is sent, each one that has come, each lost connection."""

    def sent(self, thread: str, frame: dict[str, Any]) -> None: ...

    def received(self, thread: str, frame: dict[str, Any]) -> None: ...

    def lost(self, thread: str) -> None: ...


class Answer(msgspec.Struct, frozen=True):
    """What came back for one message. `ms` from sending it to the end of the run that answered it."""

    thread_id: str
    message_id: str
    text: str
    specialty: str
    kind: str
    model: str
    offline: bool
    citations: list[dict[str, Any]]
    handoffs: list[Handoff]
    ms: float


class InputRefusedError(CommandError):
    """The gateway will not take this message; sending it again would not help."""

    def __init__(self, refusal: str, message: str) -> None:
        super().__init__(message)
        self.code = refusal


class DoorRefusedError(CommandError):
    """The gateway will not let this client in."""


class Door:
    """Where the gateways are, `url` with commas between, and the HTTP connections that conversations share."""

    def __init__(self, url: str, session: aiohttp.ClientSession, token: str = "") -> None:
        self.url = ",".join(one.strip().rstrip("/") for one in url.split(","))
        self.urls = self.url.split(",")
        self.session = session
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ticket(self, url: str = "") -> str:
        """A ticket for one connection. DoorRefusedError when none will ever be given, aiohttp's errors otherwise."""
        async with self.session.post(f"{url or self.urls[0]}/v1/tickets", headers=self._headers) as response:
            body = await response.read()
            if response.status in (400, 401, 403):
                raise DoorRefusedError(f"The gateway at {self.url} refuses: {_message(body)}")
            response.raise_for_status()
            return str(_decoder.decode(body)["ticket"])


@asynccontextmanager
async def door(url: str, token: str = "") -> AsyncIterator[Door]:
    """A door with its own connections, any number at once."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_CONNECT_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Door(url, session, token)


class _Sending:
    """One message on its way, until it is answered."""

    def __init__(self, client_id: str, content: str) -> None:
        self.frame = {"type": "message.send", "id": client_id, "content": content}
        self.began = time.monotonic()
        self.acked = False
        self.message_id = ""
        self.news = asyncio.Event()
        self.again_at = 0.0
        self.answered: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()

    def heard(self, *, acked: bool = False) -> None:
        """Something has happened: an ack, a refusal, a new connection."""
        self.acked = self.acked or acked
        self.news.set()

    def give_up(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


class Conversation:
    """One conversation over as many connections as it takes. `watch` sees each event as it comes, `wire` each frame.

    `trouble` says why there is no connection, and is empty while there is one; `tell` hears of it once.
    """

    def __init__(
        self,
        through: Door,
        thread: str = "",
        watch: Watch | None = None,
        wire: Wire | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.thread = thread
        self.transcript = Transcript()
        self.connects = 0
        self._door = through
        self._watch = watch
        self._wire = wire
        self._told = tell
        self.trouble = ""
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._sending: _Sending | None = None
        self._running: asyncio.Task[None] | None = None
        self._pongs: asyncio.Queue[str] = asyncio.Queue()
        self._connected = asyncio.Event()
        self._wait_s = 0.0
        self._largest = _MAX_FRAME
        self._place = random.randrange(len(through.urls))
        self._given = bool(thread)
        self._unknown = 0
        self._turned_away: dict[str, Any] = {}
        self._refusal: DoorRefusedError | None = None

    async def __aenter__(self) -> Conversation:
        self._running = asyncio.create_task(self._stay_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running:
            await end(self._running)

    @property
    def acked(self) -> bool:
        """True once the gateway has said that the last message is in the log."""
        return bool(self._sending and self._sending.acked)

    async def say(self, content: str, timeout_s: float, client_id: str = "") -> Answer:
        """Send one message and wait for its answer.

        InputRefusedError when it is not taken, DoorRefusedError when we are not let in, TimeoutError when no answer
        came in time (`acked` says whether it was taken).
        """
        if self._refusal:
            raise self._refusal
        sending = self._sending = _Sending(client_id or secrets.token_urlsafe(16), content)
        resending = asyncio.create_task(self._send_until_acked(sending))
        try:
            async with asyncio.timeout(timeout_s):
                messages = await sending.answered
        finally:
            await end(resending)
        return self._answer(messages[-1], (time.monotonic() - sending.began) * 1000)

    async def caught_up(self, timeout_s: float) -> None:
        """Return when everything that the log had at the connection has come: pongs stand behind it in the queue."""
        async with asyncio.timeout(timeout_s):
            while True:
                await self._connected.wait()
                if self._refusal:
                    raise self._refusal
                await self._tell({"type": "ping", "id": "caught-up"})
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._pongs.get(), _ACK_S)
                    return

    def _answer(self, message: Message, ms: float) -> Answer:
        facts = message.facts
        return Answer(
            thread_id=self.thread,
            message_id=message.message_id,
            text=message.text,
            specialty=str(facts.get("specialty", "")),
            kind=str(facts.get("kind", "")),
            model=str(facts.get("model", "")),
            offline=bool(facts.get("offline", False)),
            citations=list(facts.get("citations", [])),
            handoffs=list(self.transcript.handoffs),
            ms=round(ms, 1),
        )

    async def _send_until_acked(self, sending: _Sending) -> None:
        """Resending is always safe: the gateway knows the id (chat-protocol.md)."""
        while not sending.acked:
            await asyncio.sleep(max(0.0, sending.again_at - time.monotonic()))
            sending.news.clear()
            if len(_encoder.encode(sending.frame)) > self._largest:
                # It would end the connection, and the next one.
                sending.give_up(_too_large())
                return
            await self._tell(sending.frame)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(sending.news.wait(), _ACK_S)

    async def _tell(self, frame: dict[str, Any]) -> bool:
        socket = self._socket
        if socket is None or socket.closed:
            return False
        if self._wire:
            self._wire.sent(self.thread, frame)
        try:
            await socket.send_str(_encoder.encode(frame).decode())
        except (ConnectionError, RuntimeError, aiohttp.ClientError):
            # The reader sees the same end and connects again.
            return False
        return True

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._one_connection()
            except DoorRefusedError as error:
                self._refusal = error
                self._connected.set()
                if self._sending:
                    self._sending.give_up(error)
                return
            except (OSError, TimeoutError, aiohttp.ClientError, msgspec.DecodeError) as error:
                self._in_trouble(error)
                self._wait_s = min(max(self._wait_s, _FIRST_WAIT_S) * 2, _LONGEST_WAIT_S)
                self._place += 1
            finally:
                if self._wire and self._socket:
                    self._wire.lost(self.thread)
                self._socket = None
            self._connected.clear()
            # Not all at once after a restart of the gateway.
            await asyncio.sleep(self._wait_s * random.uniform(0.5, 1.0))

    def _in_trouble(self, error: Exception) -> None:
        known = bool(self.trouble)
        self.trouble = f"The gateway at {self._url} can't be reached ({_reason(error)})"
        if self._told and not known:
            self._told(f"{self.trouble}; trying again.")

    @property
    def _url(self) -> str:
        return self._door.urls[self._place % len(self._door.urls)]

    async def _one_connection(self) -> None:
        url = self._url
        ticket = await self._door.ticket(url)
        async with self._door.session.ws_connect(
            f"{url}/v1/ws", max_msg_size=_MAX_FRAME, compress=0, heartbeat=15
        ) as socket:
            hello = {"type": "hello", "ticket": ticket, "since": self.transcript.since}
            await socket.send_str(_encoder.encode(hello | ({"threadId": self.thread} if self.thread else {})).decode())
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    frame = _decoder.decode(message.data)
                    self._take(frame, socket)
                    if self._wire:
                        self._wire.received(self.thread, frame)
            self._after(socket.close_code or 0)

    def _after(self, close_code: int) -> None:
        reason, self._turned_away = self._turned_away, {}
        code, sentence = reason.get("code", ""), reason.get("message", "")
        self._wait_s = max(self._wait_s, _FIRST_WAIT_S, reason.get("retryAfterMs", 0) / 1000)
        if close_code == _TOO_LARGE and self._sending and not self.acked:
            self._sending.give_up(_too_large())
        elif close_code == _BAD_SEQ:
            self.transcript.since = 0
        elif code == "unknown_conversation" and self._never_heard():
            self._unknown += 1
            if self._unknown >= _UNKNOWN_TRIES:
                # The connection ended before anything was logged: there is nothing to go on with.
                self.thread, self._unknown = "", 0
        elif code in _HOPELESS or close_code == _EXPIRED:
            raise DoorRefusedError(f"The gateway at {self._door.url} refuses: {sentence}")

    def _never_heard(self) -> bool:
        return not self._given and not self.transcript.since and not self.acked

    def _take(self, frame: dict[str, Any], socket: aiohttp.ClientWebSocketResponse) -> None:
        match frame["type"]:
            case "welcome":
                self.thread = frame["threadId"]
                self.connects += 1
                self._wait_s, self.trouble = 0.0, ""
                self._largest = frame.get("limits", {}).get("maxFrameBytes", _MAX_FRAME)
                self._socket = socket
                self._connected.set()
                if self._sending:
                    self._sending.heard()
            case "ack":
                self._acked(frame)
            case "event":
                self._event(frame["ev"], frame.get("seq", 0))
            case "error":
                self._refused(frame)
            case "going_away":
                self._wait_s = frame["reconnectInMs"] / 1000
                self._place += 1
            case "pong":
                self._pongs.put_nowait(frame.get("id", ""))

    def _acked(self, frame: dict[str, Any]) -> None:
        if self._sending and self._sending.frame["id"] == frame["id"]:
            self._sending.message_id = frame["messageId"]
            self._sending.heard(acked=True)

    def _event(self, ev: dict[str, Any], seq: int) -> None:
        done = self.transcript.apply(ev, seq)
        if self._watch:
            self._watch(ev)
        sending = self._sending
        if not done or sending is None or sending.answered.done():
            return
        if ours := self.transcript.answering(sending.frame["id"], sending.message_id, done):
            # An answer says as much as an ack that was lost with its connection.
            sending.heard(acked=True)
            sending.answered.set_result(ours)

    def _refused(self, frame: dict[str, Any]) -> None:
        sending = self._sending
        if "id" not in frame:
            self._turned_away = frame
        if sending is None or frame.get("id") != sending.frame["id"]:
            return
        code, retry_ms = frame["code"], frame.get("retryAfterMs", 0)
        if code in _RETRIED or retry_ms:
            sending.again_at = time.monotonic() + max(retry_ms, 200) / 1000
            sending.heard()
        else:
            sending.give_up(InputRefusedError(code, f"The message was refused ({code}): {frame['message']}"))


def _too_large() -> InputRefusedError:
    return InputRefusedError("too_large", "The message is too large to be sent; shorten it.")


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", error)
    number = getattr(cause, "errno", None)
    return os.strerror(number).lower() if number else str(cause) or type(cause).__name__


def _message(body: bytes) -> str:
    try:
        return str(_decoder.decode(body)["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "no reason given."
