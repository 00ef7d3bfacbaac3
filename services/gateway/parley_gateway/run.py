"""`POST /v1/agui`: one message of a stock AG-UI client, and the run that answers it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from parley_gateway import domain, handlers, metrics
from parley_gateway.agui import Translator
from parley_gateway.domain import MAX_BODY, MAX_ID, Session
from parley_gateway.handlers import Door, Taken
from parley_gateway.outbox import Outbox
from parley_gateway.said import Said
from parley_gateway.shadow import Shadow
from parley_gateway.viewer import Viewer
from parley_mesh.telemetry import continued, log
from parley_proto.conversation import Checkpoint, MessageShown, RunEnded, Shown
from parley_proto.envelope import valid_id
from parley_proto.errors import ParleyError, PermanentError, TransientError

HEARTBEAT_S = domain.HEARTBEAT_MS / 1000
MAX_BODY_DEPTH = 64
MAX_BODY_PARTS = 50_000
HEARTBEAT = b": still here\n\n"


class RunInput(msgspec.Struct, frozen=True):
    """What is read of AG-UI's RunAgentInput: only the last words of the user count, the history is the client's own."""

    threadId: str
    runId: str
    messages: list[dict[str, Any]]

    def asked(self) -> tuple[str, str]:
        """Id and text of the last user message; PermanentError when there is none that can be answered."""
        mine = [message for message in self.messages if message.get("role") == "user"]
        if not mine:
            raise PermanentError("There is no user message in `messages`.", code="no_user_message")
        name, text = mine[-1].get("id"), _text(mine[-1].get("content"))
        if not isinstance(name, str):
            raise PermanentError("The last user message needs an id.", code="bad_id")
        domain.check_client_id(name)
        domain.check_content(text)
        return name, text


def read_input(body: bytes) -> RunInput:
    """PermanentError `too_large` or `malformed` says what is wrong with `body`."""
    if len(body) > MAX_BODY:
        raise PermanentError(f"A request has at most {MAX_BODY} bytes; send fewer old messages.", code="too_large")
    try:
        text = body.decode()
        if domain.parts(text) > MAX_BODY_PARTS:
            sentence = f"A request has at most {MAX_BODY_PARTS:,} lists and objects; send fewer old messages."
            raise PermanentError(sentence, code="too_large")
        if domain.too_deep(text, MAX_BODY_DEPTH):
            raise PermanentError(f"The request is nested deeper than {MAX_BODY_DEPTH}.", code="malformed")
        found = msgspec.json.decode(text, type=RunInput)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise PermanentError(f"The request can't be read: {str(error)[:200]}.", code="malformed") from error
    for name, value in (("threadId", found.threadId), ("runId", found.runId)):
        if not 1 <= len(value) <= MAX_ID or not value.isprintable():
            raise PermanentError(f"{name} needs 1 to {MAX_ID} printable characters.", code="bad_id")
    return found


def _text(content: object) -> str:
    """Text of a message's content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
    if not all(isinstance(text, str) for text in texts):
        raise PermanentError("Only text is understood; send the message without attachments.", code="bad_content")
    return "\n".join(str(text) for text in texts)


async def conversation_of(door: Door, session: Session, thread: str) -> str:
    """The caller's own conversation of that id, or the one behind a thread id that the client made up."""
    if valid_id(thread):
        owner = await door.conversations.owner(thread)
        if owner and session.owns(owner):
            return thread
    return domain.thread_conversation(session.tenant, session.speaker, thread)


class Run:
    """Streams one run. Leaving early stops nothing: the answer is recorded, and the same message id replays it."""

    patient = True

    def __init__(self, door: Door, conversation: str, asked: RunInput, drop: Callable[[], None]) -> None:
        self._door = door
        self._asked = asked
        self._drop = drop
        self._overflowed = asyncio.Event()
        self._outbox = Outbox(self._overflowed.set)
        self._conversation = conversation
        self._taken = Taken("", 0, False)
        self._recorded: list[tuple[int, Shown]] = []
        self._maybe_over = False
        self._cancelled = ""
        self._leaving = False
        self._closed = False
        self._translator: Translator | None = None
        self._viewer: Viewer | None = None

    async def open(self, session: Session) -> None:
        """Listen, then log the message; ParleyError when it is refused, and then nothing is left open."""
        name, text = self._asked.asked()
        message = domain.message_id(session.tenant, self._conversation, name)
        shadow = Shadow(self._asked.messages)
        self._translator = Translator(self._asked.threadId, run_id=self._asked.runId, hidden=message, shadow=shadow)
        self._viewer = Viewer(self._conversation, self._translator, self._outbox, self._on_entry)
        if not self._door.seats.enter():
            raise ParleyError("All places are taken; try again in a few seconds.", code="overloaded")
        self._door.guests.add(self)
        metrics.STREAMS.inc()
        try:
            await self._door.hub.join(self._viewer)
            checkpoint = await self._door.conversations.checkpoint(self._conversation)
            self._taken = await self._known(checkpoint, message, text) or await handlers.take_message(
                self._door, session, self._conversation, name, text, begun=checkpoint is not None
            )
            if self._taken.duplicate:
                self._recorded = await self._recording()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give everything back; may be called twice, because a stream that never began can't do it itself."""
        if self._closed:
            return
        self._closed = True
        metrics.STREAMS.dec()
        self._door.guests.discard(self)
        self._door.seats.leave()
        # The viewer holds this run, which would otherwise stay until somebody looks for garbage.
        viewer, self._viewer = self._viewer, None
        if viewer:
            await self._door.hub.leave(viewer)

    def go_away(self) -> None:
        """The instance stops and can't wait for the answer."""
        self._leaving = True
        self._outbox.close()

    async def stream(self) -> AsyncIterator[bytes]:
        """The run as server-sent events."""
        if self._translator is None or self._viewer is None:
            raise PermanentError("The run was not opened.", code="internal")
        tasks = [asyncio.create_task(self._catch_up(self._viewer)), asyncio.create_task(self._watch())]
        try:
            with continued({}, conversation=self._conversation):
                yield _sent(self._opening(self._translator))
                async for chunk in self._replayed() if self._recorded else self._live(tasks[0]):
                    yield chunk
        finally:
            for task in tasks:
                task.cancel()
            await self.close()

    def _opening(self, translator: Translator) -> list[Said]:
        degraded = self._door.hub.degraded
        return [*translator.begin(), *(translator.degraded(degraded) if degraded else [])]

    async def _known(self, checkpoint: Checkpoint | None, message: str, text: str) -> Taken | None:
        """The message, where the owner remembers it beyond the log's duplicate window."""
        known = checkpoint.recent.get(message) if checkpoint else None
        if known is None:
            return None
        if known != domain.body_hash(text):
            raise handlers.id_reused()
        async for seq, entry in self._door.conversations.shown_after(self._conversation, 0):
            if isinstance(entry, MessageShown) and entry.message_id == message:
                metrics.MESSAGES.labels("duplicate").inc()
                return Taken(message, seq - 1, True)
        return None

    async def _recording(self) -> list[tuple[int, Shown]]:
        """What was shown from the message to its answer, nothing when that is still to come."""
        shown = [item async for item in self._door.conversations.shown_after(self._conversation, 0)]
        end = domain.answered_at(shown, self._taken.message_id)
        return [item for item in shown if self._taken.seq < item[0] <= end]

    async def _replayed(self) -> AsyncIterator[bytes]:
        translator = self._translator
        if translator is None:
            return
        translator.skip_to(self._taken.seq)
        for seq, entry in self._recorded:
            self._on_entry(seq, entry)
            yield _sent(translator.shown(seq, entry))
        yield _sent(translator.end(cancelled=self._cancelled))

    async def _live(self, catching_up: asyncio.Task[None]) -> AsyncIterator[bytes]:
        deadline = time.monotonic() + self._door.settings.run_s
        while not await self._answered():
            chunk = await self._next()
            if chunk:
                yield chunk
            if self._leaving or time.monotonic() > deadline:
                yield await self._ending(catching_up, failed=True)
                return
        yield await self._ending(catching_up)

    async def _next(self) -> bytes:
        try:
            items = await asyncio.wait_for(self._outbox.take(), HEARTBEAT_S)
        except TimeoutError:
            self._maybe_over = True
            return HEARTBEAT
        return _sent([item for item in items if isinstance(item, Said)])

    async def _answered(self) -> bool:
        if not self._maybe_over:
            return False
        self._maybe_over = False
        try:
            checkpoint = await self._door.conversations.checkpoint(self._conversation)
        except TransientError:
            # Asked again at the next heartbeat.
            return False
        return not domain.still_waiting(checkpoint, self._taken.seq, self._taken.message_id)

    async def _ending(self, catching_up: asyncio.Task[None], *, failed: bool = False) -> bytes:
        catching_up.cancel()
        if self._viewer is None or self._translator is None:
            return b""
        await self._door.hub.leave(self._viewer)
        rest = [item for item in self._outbox.drain() if isinstance(item, Said)]
        if not failed:
            try:
                rest += await self._not_heard_yet(self._translator)
                return _sent([*rest, *self._translator.end(cancelled=self._cancelled)])
            except TransientError:
                # Without it the run would end without its answer; the client may post the same message again.
                log("parley.gateway").info("the answer can't be read", extra={"conversation": self._conversation})
        code = "going_away" if self._leaving else "timeout"
        return _sent([*rest, *self._translator.fail(code, "The answer takes longer; send the same message id again.")])

    async def _not_heard_yet(self, translator: Translator) -> list[Said]:
        """What the log has behind the last entry that was told: the owner's state can be ahead of what comes to us."""
        said: list[Said] = []
        async for seq, entry in self._door.conversations.shown_after(self._conversation, translator.seq):
            self._on_entry(seq, entry)
            said += translator.shown(seq, entry)
        return said

    async def _catch_up(self, viewer: Viewer) -> None:
        if self._recorded or self._translator is None:
            return
        self._translator.skip_to(self._taken.seq)
        try:
            await viewer.catch_up(self._door.conversations.shown_after(self._conversation, self._taken.seq))
        except ParleyError:
            # Without the beginning the run can't go on; the client may post the same message again.
            self.go_away()

    async def _watch(self) -> None:
        """Cut off a reader that is too slow, or that has not read to the end when the run's time is long over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._door.settings.run_s + 2 * HEARTBEAT_S):
                await self._overflowed.wait()
        self._drop()

    def _on_entry(self, _seq: int, entry: Shown) -> None:
        ended = isinstance(entry, RunEnded)
        self._cancelled = entry.reason if isinstance(entry, RunEnded) else ""
        self._maybe_over = self._maybe_over or ended or (isinstance(entry, MessageShown) and entry.role != "customer")


def _sent(said: list[Said]) -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(item.ev) + b"\n\n" for item in said)
