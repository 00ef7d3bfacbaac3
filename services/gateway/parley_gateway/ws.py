"""`WS /v1/ws`: one conversation a connection, from the handshake to the close."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

from parley_gateway import frames, greeting, handlers, metrics, refusals
from parley_gateway.agui import Translator
from parley_gateway.domain import Bucket, Session
from parley_gateway.frames import BadFrame, Hello
from parley_gateway.greeting import TurnedAway
from parley_gateway.handlers import Door
from parley_gateway.outbox import Outbox, Plain, Waiting
from parley_gateway.socket import Ended, Ending, Socket
from parley_gateway.turnstile import Turnstile
from parley_gateway.viewer import Viewer
from parley_mesh.telemetry import continued, log
from parley_proto.envelope import now_ms
from parley_proto.errors import ParleyError, PermanentError, TransientError

FLUSH_S = 2.0
CLOSE_S = 1.0
STUCK_S = 30.0
MAX_MALFORMED = 3
MAX_TOO_FAST = 20
MAX_PENDING = 16
LONGEST_TIMER_S = 30 * 86400


class Connection:
    """One socket. Two tasks, reading and writing, and one while something that the customer says is logged."""

    patient = False

    def __init__(self, door: Door, socket: Socket) -> None:
        self._door = door
        self._socket = socket
        self._outbox = Outbox(self._too_slow)
        self._over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        # So that what the customer said first stands first.
        self._pending: Turnstile[tuple[float, frames.Action]] = Turnstile(self._log, MAX_PENDING)
        self._frames = Bucket(door.settings.frames_per_minute, time.monotonic())
        self._malformed = 0
        self._too_fast = 0
        self._conversation = ""
        self._begun = False
        self._session: Session | None = None
        self._viewer: Viewer | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until one side ends it."""
        if not self._door.origin_ok(self._socket.headers):
            metrics.REFUSED.labels("origin").inc()
            await self._socket.refuse()
            return
        await self._socket.accept()
        if self._door.draining:
            await self._turn_away(frames.RESTART, "restart", "This instance stops; connect again.")
        elif not self._door.seats.enter():
            await self._turn_away(frames.OVERLOAD, "overloaded", "All places are taken; try again in a few seconds.")
        else:
            await self._seated()

    def end(self, code: int, reason: str, *, flush: bool = True) -> None:
        """Close with `code`, after what waits was sent; the first reason stands."""
        if not self._over.done():
            self._over.set_result(Ending(code, reason, flush))

    def go_away(self) -> None:
        """The instance stops: ask the client to come back, not all at once."""
        self._tell(frames.going_away(random.randint(0, self._door.settings.reconnect_spread_ms)))
        self.end(frames.RESTART, "restart")

    async def _seated(self) -> None:
        self._door.guests.add(self)
        metrics.SOCKETS.inc()
        try:
            await self._serve()
        finally:
            metrics.SOCKETS.dec()
            self._door.guests.discard(self)
            self._door.seats.leave()

    async def _serve(self) -> None:
        writing, reading = asyncio.create_task(self._write()), asyncio.create_task(self._read())
        try:
            ending = await self._over
            reading.cancel()
            if ending.flush:
                # What was received is still logged: a customer who sends and leaves has been heard.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._pending.join(), FLUSH_S)
            await self._close(ending, writing)
        finally:
            for task in (writing, reading):
                task.cancel()
            self._pending.close()
            self._outbox.close()
            await self._release()

    async def _close(self, ending: Ending, writing: asyncio.Task[None]) -> None:
        if not ending.code:
            return
        metrics.CLOSES.labels(str(ending.code)).inc()
        self._outbox.close()
        try:
            if ending.flush:
                await asyncio.wait_for(asyncio.shield(writing), FLUSH_S)
            writing.cancel()
            await asyncio.wait_for(self._socket.close(ending), CLOSE_S)
        except TimeoutError:
            # It does not read: a polite close would wait behind all that it has not read yet.
            self._socket.drop()

    async def _release(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._session:
            self._door.seats.release(self._session)
        if self._viewer:
            await self._door.hub.leave(self._viewer)

    async def _turn_away(self, close: int, code: str, sentence: str) -> None:
        metrics.REFUSED.labels(code).inc()
        metrics.CLOSES.labels(str(close)).inc()
        retry_ms = refusals.jittered(refusals.OVERLOADED_MS)
        await self._socket.write(frames.error(code, sentence, retry_ms=retry_ms))
        await self._socket.close(Ending(close, code))

    def _too_slow(self) -> None:
        self.end(frames.OVERLOAD, "too slow", flush=False)

    async def _write(self) -> None:
        try:
            while items := await self._outbox.take():
                for item in items:
                    async with asyncio.timeout(STUCK_S):
                        await self._socket.write(self._framed(item))
        except TimeoutError:
            self._too_slow()
        except Exception as error:
            # Whatever uvicorn raises here says that the peer has gone.
            log("parley.gateway").debug("write failed", extra={"reason": type(error).__name__})
            self.end(0, "gone")

    def _framed(self, item: Waiting) -> dict[str, Any]:
        return item.frame if isinstance(item, Plain) else frames.event(self._conversation, item.ev, item.seq)

    async def _read(self) -> None:
        try:
            await self._greet()
            with continued({}, conversation=self._conversation):
                while True:
                    await self._one_frame()
        except Ended as ended:
            self.end(ended.ending.code, ended.ending.reason)
        except TurnedAway as away:
            self._refuse(away.code, away.sentence, retry_ms=away.retry_ms)
            self.end(away.close, away.code)
        except Exception:
            log("parley.gateway").exception("connection failed")
            self.end(frames.FAILED, "internal")

    async def _greet(self) -> None:
        first = await greeting.hello(self._socket, self._door.settings.hello_s)
        self._session = session = greeting.admit(self._door, first)
        self._expire_with(session)
        try:
            self._conversation = greeting.conversation_of(first)
            await self._join(first, session)
        except ParleyError as error:
            raise greeting.unavailable(error) from error

    async def _join(self, first: Hello, session: Session) -> None:
        """Listen first, then read the log: nothing falls between the two."""
        translator = Translator(self._conversation)
        self._viewer = viewer = Viewer(self._conversation, translator, self._outbox)
        await self._door.hub.join(viewer)
        resume = await greeting.resume_of(self._door, first, session)
        self._begun = resume is not None
        kind = resume.kind if resume else "new"
        metrics.RESUMES.labels(kind).inc()
        self._tell(frames.welcome(self._conversation, kind, self._door.settings, self._door.hub.degraded))
        if resume:
            await resume.run(viewer, translator)
        else:
            viewer.go_live()
        for notice in self._door.in_force(resume.owner if resume else ""):
            viewer.on_notice(notice)

    async def _one_frame(self) -> None:
        try:
            frame = frames.read(await self._socket.read())
        except BadFrame as bad:
            self._bad_frame(bad)
            return
        self._malformed = 0
        if self._within(self._frames, frames.id_of(frame)):
            await self._handle(frame)

    def _bad_frame(self, bad: BadFrame) -> None:
        self._refuse(bad.code, bad.message, client_id=bad.client_id)
        if bad.code == "too_large":
            raise Ended(frames.TOO_LARGE, "too large")
        self._malformed = self._malformed + 1 if bad.code == "malformed" else 0
        if self._malformed >= MAX_MALFORMED:
            raise Ended(frames.POLICY, "malformed")
        self._within(self._frames, bad.client_id)

    async def _handle(self, frame: frames.Frame) -> None:
        if isinstance(frame, frames.Ping):
            self._tell(frames.pong(frame))
        elif isinstance(frame, Hello):
            self._refuse("malformed", "hello is said once, at the beginning.")
        elif frame.threadId not in (None, self._conversation):
            sentence = "This connection is for another conversation."
            self._refuse("wrong_thread", sentence, client_id=frames.id_of(frame))
        elif not isinstance(frame, frames.Typing | frames.Read):
            await self._queue(frame)

    async def _queue(self, action: frames.Action) -> None:
        try:
            action.check()
        except ParleyError as error:
            self._refuse(error.code, error.message, client_id=frames.id_of(action))
            return
        try:
            handlers.within_rate(self._door, self._known(), self._conversation)
        except refusals.Later as error:
            self._slow_down(error.retry_ms, frames.id_of(action))
        else:
            self._too_fast = 0
            await self._pending.put((time.monotonic(), action))

    def _within(self, bucket: Bucket, client_id: str) -> bool:
        wait_ms = bucket.take(time.monotonic())
        if wait_ms:
            self._slow_down(wait_ms, client_id)
        return not wait_ms

    def _slow_down(self, wait_ms: int, client_id: str) -> None:
        self._refuse("rate_limited", "Too much at once; wait a moment.", client_id=client_id, retry_ms=wait_ms)
        self._too_fast += 1
        if self._too_fast >= MAX_TOO_FAST:
            raise Ended(frames.TOO_FAST, "too fast")

    async def _log(self, waited: tuple[float, frames.Action]) -> None:
        arrived, action = waited
        try:
            self._check_age(arrived)
            await self._take(action)
        except ParleyError as error:
            code, sentence = refusals.public_code(error), refusals.public_message(error)
            self._refuse(code, sentence, client_id=frames.id_of(action), retry_ms=refusals.retry_after(error))
        except Exception:
            log("parley.gateway").exception("message failed", extra={"conversation": self._conversation})
            self._refuse("internal", "Parley failed on this; send it again.", client_id=frames.id_of(action))

    def _check_age(self, arrived: float) -> None:
        """What has waited behind others of this socket for longer than the log is tried is refused, not tried too."""
        if time.monotonic() - arrived > self._door.settings.accept_s:
            raise TransientError("The message has waited too long.")

    def _known(self) -> Session:
        if self._session is None:
            raise PermanentError("Say hello first.", code="hello_required")
        return self._session

    async def _take(self, action: frames.Action) -> None:
        door, session, thread = self._door, self._known(), self._conversation
        if isinstance(action, frames.Said):
            taken = await handlers.take_message(door, session, thread, action.id, action.content, begun=self._begun)
            self._tell(frames.ack(action.id, taken.message_id, taken.seq, duplicate=taken.duplicate))
        elif self._begun or isinstance(action, frames.AskPerson):
            await handlers.take_action(door, session, thread, action, begun=self._begun)
        else:
            raise PermanentError("Nothing has been said in this conversation yet.", code="nothing_yet")
        self._begun = True

    def _expire_with(self, session: Session) -> None:
        if not session.expires_at:
            return
        seconds = (session.expires_at - now_ms()) / 1000

        def expire() -> None:
            self._refuse("session_expired", "Your session has ended; sign in again.")
            self.end(frames.EXPIRED, "session expired")

        if seconds < LONGEST_TIMER_S:
            self._timer = asyncio.get_running_loop().call_later(max(seconds, 0), expire)

    def _refuse(self, code: str, sentence: str, *, client_id: str = "", retry_ms: int = 0) -> None:
        metrics.REFUSED.labels(code).inc()
        self._tell(frames.error(code, sentence, client_id=client_id, retry_ms=retry_ms))

    def _tell(self, frame: dict[str, Any]) -> None:
        self._outbox.push(Plain(frame))
