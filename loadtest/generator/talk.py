"""One conversation on its socket: read all the time, resumed when it breaks, and what was not acked is said again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time

import aiohttp

from generator import frames
from generator.account import Account, Message
from generator.tally import Tally
from parley_cli.client import Door

_BROKEN = (OSError, TimeoutError, aiohttp.ClientError)
_MAX_FRAME = 1 << 20
_TRIES_S = 120.0
_WELCOME_S = 30.0


class TurnedAwayError(Exception):
    """The gateway did not let this connection in; `retry_s` is how long it asks to wait."""

    def __init__(self, code: str, retry_s: float) -> None:
        super().__init__(code)
        self.code = code
        self.retry_s = retry_s


class Talk:
    """A conversation, new or the one named `thread` as far as its customer has read it."""

    def __init__(self, door: Door, tally: Tally, thread: str = "", since: int = 0) -> None:
        self.account = Account(tally)
        self.account.thread, self.account.since = thread, since
        self._given = bool(thread)
        self._door = door
        self._tally = tally
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._retry_s = 0.0

    async def open(self) -> None:
        """Until the gateway says welcome. TimeoutError when it does not for two minutes."""
        await self._connect()
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        if self._reading:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self._socket:
            await self._socket.close()

    async def send(self, text: str, due: float) -> Message:
        """Send a message that was due at `due`."""
        message = Message(secrets.token_urlsafe(12), text, due, time.monotonic())
        self.account.send(message)
        await self._tell(message)
        return message

    async def say(self, text: str, due: float, patience_s: float) -> Message:
        """Send it, and wait until it is answered or refused, or for `patience_s`."""
        message = await self.send(text, due)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._until(message)
        return message

    async def wait(self, until: float) -> None:
        """Stay until all is settled, or until `until`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                for message in self.account.unsettled:
                    await self._until(message)

    async def _until(self, message: Message) -> None:
        while not message.settled:
            self._settled.clear()
            await self._settled.wait()

    async def _tell(self, message: Message) -> None:
        socket = self._socket
        if socket is None or socket.closed:
            return
        # Whoever reads sees the same end, connects again and sends it again.
        with contextlib.suppress(ConnectionError, RuntimeError, aiohttp.ClientError):
            await socket.send_str(frames.message(message.client_id, message.text))

    async def _connect(self) -> None:
        until = time.monotonic() + _TRIES_S
        while True:
            try:
                await self._once()
                return
            except TurnedAwayError as away:
                self._count(away.code)
                if away.code == "unknown_conversation" and not self._given and not self.account.known:
                    self._begin_anew()
                wait_s = away.retry_s
            except _BROKEN as error:
                self._count(type(error).__name__)
                wait_s = 0.5
            if time.monotonic() + wait_s > until:
                raise TimeoutError("The gateway lets nobody in.")
            await asyncio.sleep(wait_s * random.uniform(0.8, 1.5))

    def _begin_anew(self) -> None:
        """Its first connection ended before anything was logged: what was said is said in a new conversation."""
        self.account.thread = ""

    async def _once(self) -> None:
        ticket = await self._door.ticket()
        url = f"{self._door.urls[0]}/v1/ws"
        self._socket = socket = await self._door.session.ws_connect(url, max_msg_size=_MAX_FRAME, compress=0)
        await socket.send_str(frames.hello(ticket, self.account.thread, self.account.since))
        async with asyncio.timeout(_WELCOME_S):
            frame = await self._frame(socket)
        if frame is None or frame.type != "welcome":
            await socket.close()
            code = frame.code if frame and frame.code else "closed"
            raise TurnedAwayError(code, max(0.2, (frame.retryAfterMs if frame else 0) / 1000))
        self._rename(frame.threadId)

    def _rename(self, thread: str) -> None:
        if thread == self.account.thread:
            return
        unsettled, self.account.thread = self.account.unsettled, thread
        self.account.readdress(unsettled)

    async def _frame(self, socket: aiohttp.ClientWebSocketResponse) -> frames.Frame | None:
        message = await socket.receive()
        return frames.read(message.data) if message.type is aiohttp.WSMsgType.TEXT else None

    async def _read(self) -> None:
        while self._socket:
            while frame := await self._frame(self._socket):
                if self.account.take(frame, time.monotonic()):
                    self._settled.set()
                self._retry_s = max(frame.reconnectInMs, 0) / 1000
            self._count(f"connection_{self._socket.close_code}")
            await asyncio.sleep(self._retry_s or random.uniform(0.1, 0.5))
            await self._connect()
            for message in self.account.unsettled:
                if not message.acked:
                    await self._tell(message)

    def _count(self, code: str) -> None:
        """A connection that broke, or was not let in: an error, except where everything is merely full."""
        tick = self._tally.at(time.monotonic())
        tick.count_code(code)
        if code not in ("overloaded", "restart"):
            tick.errors += 1
