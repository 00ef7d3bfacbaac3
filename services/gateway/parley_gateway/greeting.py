"""From the handshake to the welcome: who it is, and which conversation it goes on with."""

from __future__ import annotations

import asyncio

from parley_gateway import frames, refusals
from parley_gateway.domain import Session
from parley_gateway.frames import BadFrame, Hello
from parley_gateway.handlers import Door
from parley_gateway.socket import Socket
from parley_gateway.viewer import Resume
from parley_proto.envelope import new_id
from parley_proto.errors import ParleyError, PermanentError


class TurnedAway(Exception):
    """A connection that is not let in: the error frame it gets, and the code it is closed with."""

    def __init__(self, close: int, code: str, sentence: str, retry_ms: int = 0) -> None:
        super().__init__(sentence)
        self.close = close
        self.code = code
        self.sentence = sentence
        self.retry_ms = retry_ms


def unavailable(error: ParleyError) -> TurnedAway:
    """For a failure behind the door: come again later."""
    code, sentence = refusals.public_code(error), refusals.public_message(error)
    return TurnedAway(frames.OVERLOAD, code, sentence, refusals.retry_after(error))


async def hello(socket: Socket, seconds: float) -> Hello:
    """The first frame, within `seconds`; TurnedAway for anything but a hello that makes sense."""
    try:
        async with asyncio.timeout(seconds):
            frame = frames.read(await socket.read())
        if not isinstance(frame, Hello):
            raise BadFrame("The first frame must be hello.", code="hello_required")
        frames.check_hello(frame)
    except TimeoutError:
        raise TurnedAway(frames.POLICY, "hello_required", "hello did not come in time.") from None
    except BadFrame as bad:
        close = frames.TOO_LARGE if bad.code == "too_large" else frames.POLICY
        raise TurnedAway(close, bad.code, bad.message) from bad
    return frame


def admit(door: Door, first: Hello) -> Session:
    """The session behind the ticket, with a place for it: give that back with `door.seats.release`."""
    try:
        session = door.tickets.redeem(first.ticket)
    except PermanentError as error:
        raise TurnedAway(frames.POLICY, error.code, error.message) from error
    if not door.seats.claim(session):
        sentence = "Too many connections of yours are open; close some."
        raise TurnedAway(frames.OVERLOAD, "overloaded", sentence, refusals.jittered(refusals.OVERLOADED_MS))
    return session


def conversation_of(first: Hello) -> str:
    """The conversation that `first` names, or a new id. Nothing is stored yet."""
    return new_id("c") if first.threadId is None else first.threadId


async def resume_of(door: Door, first: Hello, session: Session) -> Resume | None:
    """How to go on with a known conversation, None for a new one. The reader must have joined already.

    TurnedAway when it is not the session's own, or when the client names a place beyond its end.
    """
    if first.threadId is None:
        return None
    resume = Resume(door.conversations, first.threadId, first.since)
    # When thousands come back at once, some are welcomed soon instead of all late.
    async with door.resuming:
        if await resume.find():
            await resume.read()
            return await _resume(door, resume, first.threadId, session)
    # An archive that is slow must not take the places of those whose conversations are in the log.
    await resume.read()
    async with door.resuming:
        return await _resume(door, resume, first.threadId, session)


async def _resume(door: Door, resume: Resume, thread: str, session: Session) -> Resume:
    identity = await resume.speaker()
    if identity is None or not session.owns(identity):
        # The same answer for both, so that ids can't be tried out.
        raise TurnedAway(frames.POLICY, "unknown_conversation", "There is no such conversation of yours.")
    if await resume.beyond_the_end():
        raise TurnedAway(frames.BAD_SEQ, "bad_seq", "since is beyond the end of this conversation.")
    await resume.look()
    door.hub.owned_by(thread, resume.owner)
    return resume
