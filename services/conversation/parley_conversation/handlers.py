"""Entries in, transitions out: each conversation has its own queue, so a slow one holds up nobody."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
from nats.aio.msg import Msg

from parley_conversation import metrics
from parley_conversation.adapters import Hot, Intents, Log
from parley_conversation.domain import dead_letter, decide, may_end_turn, route_text
from parley_conversation.memory import Memory
from parley_conversation.settings import Settings
from parley_conversation.transition import Facts
from parley_mesh.bus import Stored
from parley_mesh.cards import Directory
from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.notices import NoticeBoard
from parley_mesh.telemetry import continued, log, tracer
from parley_proto.conversation import Checkpoint, CustomerMessage, Entry, RetryRequested
from parley_proto.envelope import decode, now_ms, valid_id
from parley_proto.errors import AmbiguousCommitError, ConflictError, ParleyError, PermanentError, TransientError
from parley_proto.specialist import RouteHint

RETRIES = 5
MAX_ATTEMPTS = 4
FIRST_RETRY_S = 0.05


class Delivered(msgspec.Struct):
    """One entry in a conversation's queue. `done` acknowledges; nothing to acknowledge for a recovered one."""

    seq: int
    data: bytes
    headers: dict[str, str]
    done: Callable[[], Awaitable[None]] | None = None
    again: Callable[[float], Awaitable[None]] | None = None

    async def settle(self) -> None:
        await _quietly(self.done() if self.done else None)

    async def give_back(self, delay_s: float) -> None:
        await _quietly(self.again(delay_s) if self.again else None)


class StuckError(PermanentError):
    """The entry `seq`, which follows `hot`, can't be applied to it, for a cause that does not pass by itself."""

    def __init__(self, hot: Hot, seq: int, data: bytes, cause: Exception) -> None:
        super().__init__(_told(cause))
        self.hot = hot
        self.seq = seq
        self.data = data


class Conversations:
    """The keeper of the owned shards (`parley_mesh.shards.Keeper`). `committed` hears of each new state."""

    def __init__(
        self,
        settings: Settings,
        store: Log,
        memory: Memory,
        intents: Intents,
        directory: Directory,
        board: NoticeBoard,
        committed: Callable[[Checkpoint], None] = lambda _state: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._memory = memory
        self._intents = intents
        self._directory = directory
        self._board = board
        self._committed = committed
        self._queues: dict[str, dict[int, Delivered]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # How often each entry could not be applied, by its sequence: deliveries count outages too.
        self._stuck: Counter[int] = Counter()

    @property
    def in_flight(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def deliver(self, message: Msg) -> None:
        seq = message.metadata.sequence.stream

        async def again(delay: float) -> None:
            await message.nak(delay=delay)

        entry = Delivered(seq, message.data, message.headers or {}, message.ack, again)
        self._enqueue(message.subject.rpartition(".")[2], entry)

    def recover(self, stored: Stored) -> None:
        self._enqueue(stored.subject.rpartition(".")[2], Delivered(stored.seq, stored.data, stored.headers))

    def forget(self, shard: int) -> None:
        self._memory.drop_shard(shard)

    async def drain(self, timeout_s: float) -> None:
        """Finish what is queued; the rest is redelivered to the next owner."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    def _enqueue(self, conversation: str, entry: Delivered) -> None:
        if not valid_id(conversation):
            # Nothing can be written for such an id; left unacknowledged it would take its shard's place for ever.
            log("parley.conversation").error("entry with a bad id", extra={"seq": entry.seq})
            self._spawn(entry.settle())
            return
        queue = self._queues.get(conversation)
        if queue is not None:
            # A redelivery takes the place of what still waits, so that an outage adds nothing.
            if entry.done or entry.seq not in queue:
                queue[entry.seq] = entry
            return
        self._queues[conversation] = {entry.seq: entry}
        self._spawn(self._work_off(conversation))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_off(self, conversation: str) -> None:
        queue = self._queues[conversation]
        try:
            while queue:
                entry = queue[min(queue)]
                await self._handle(conversation, entry)
                queue.pop(entry.seq, None)
        finally:
            del self._queues[conversation]

    async def _handle(self, conversation: str, entry: Delivered) -> None:
        with continued(entry.headers, conversation=conversation):
            try:
                await self._advance_safely(conversation, entry)
            except Exception as error:
                # Whatever it was, the state in memory is not to be trusted, and only this conversation waits.
                self._memory.drop(conversation)
                cause = error.__cause__ if isinstance(error, StuckError) else error
                foreseen = isinstance(cause, ParleyError)
                log("parley.conversation").warning("entry waits", exc_info=not foreseen, extra={"reason": _told(error)})
                await self._retry_or_bury(conversation, entry, error)
            else:
                self._stuck.pop(entry.seq, None)
                await entry.settle()

    async def _retry_or_bury(self, conversation: str, entry: Delivered, error: Exception) -> None:
        """Later once more; a fault that does not pass becomes a committed dead letter, so that others go on.

        The entry that is stuck may be an earlier one than the one in hand, which then has its turn afterwards.
        """
        if not isinstance(error, StuckError):
            await entry.give_back(1.0)
            return
        self._stuck[error.seq] += 1
        if self._stuck[error.seq] <= MAX_ATTEMPTS:
            await entry.give_back(1.0)
            return
        try:
            await self._bury(conversation, error)
        except Exception as again:
            log("parley.conversation").warning("dead letter waits", extra={"seq": error.seq, "reason": _told(again)})
            await entry.give_back(5.0)
            return
        if error.seq == entry.seq:
            await entry.settle()
        else:
            await entry.give_back(FIRST_RETRY_S)

    async def _bury(self, conversation: str, stuck: StuckError) -> None:
        """Set aside the stuck entry, fenced by the very state that it could not be applied to."""
        body: Entry = decode(stuck.data, Entry)
        turn_ms = int(self._settings.turn_timeout_s * 1000)
        facts = Facts(conversation, stuck.seq, now_ms(), turn_ms, self._directory.names())
        transition = dead_letter(stuck.hot.state, body, facts, stuck.message)
        if transition:
            await self._store.commit(stuck.hot, transition)
        self._stuck.pop(stuck.seq, None)
        metrics.DEAD_LETTERS.inc()
        log("parley.conversation").error("dead letter", extra={"seq": stuck.seq, "entry": type(body).__name__})

    async def _advance_safely(self, conversation: str, entry: Delivered) -> None:
        """Advance; after a lost race or an unknown outcome reload from the log and look again."""
        for attempt in range(RETRIES):
            try:
                await self._advance(conversation, entry)
                return
            except (ConflictError, AmbiguousCommitError) as error:
                if isinstance(error, ConflictError):
                    metrics.REFUSED_WRITES.inc()
                self._memory.drop(conversation)
                if attempt == RETRIES - 1:
                    raise
                log("parley.conversation").info("reloading", extra={"seq": entry.seq, "reason": error.message})
            await asyncio.sleep(FIRST_RETRY_S * 2**attempt)

    async def _advance(self, conversation: str, entry: Delivered) -> None:
        generation = self._memory.generation(conversation)
        hot = self._memory.get(conversation)
        try:
            hot = hot or await self._activate(conversation)
            if entry.seq > hot.last_in_seq:
                hot = await self._apply_or_stop(conversation, hot, entry.seq, entry.data)
        except StuckError as stuck:
            if stuck.seq <= entry.seq:
                raise
            # This entry is done. The one that is stuck has its own delivery, and nothing is remembered until then.
            return
        self._memory.put(conversation, hot, generation)

    async def _activate(self, conversation: str) -> Hot:
        """Load the checkpoint and apply all that the log has, in order: only then are deliveries without a gap.

        Not only what stands before the delivery in hand: one behind it may have been given back to the log, and what
        comes new is delivered before that one is again.
        """
        hot = await self._store.load(conversation)
        while found := await self._store.next(conversation, hot.last_in_seq):
            seq, data, headers = found
            with continued(headers, conversation=conversation):
                hot = await self._apply_or_stop(conversation, hot, seq, data)
        return hot

    async def _apply_or_stop(self, conversation: str, hot: Hot, seq: int, data: bytes) -> Hot:
        """`_apply`, or StuckError where trying again can't help."""
        try:
            return await self._apply(conversation, hot, seq, data)
        except (TransientError, ConflictError):
            raise
        except Exception as error:
            raise StuckError(hot, seq, data, error) from error

    async def _apply(self, conversation: str, hot: Hot, seq: int, data: bytes) -> Hot:
        try:
            entry: Entry = decode(data, Entry)
        except PermanentError as error:
            # Nobody can ever read it: skipping it is the only way for the conversation to go on.
            log("parley.conversation").error("unreadable entry", extra={"seq": seq, "reason": error.message})
            await self._store.keep_unreadable(conversation, seq, data, error.message)
            return Hot(hot.state, hot.revision, seq)
        kind = type(entry).__name__
        facts = await self._facts(conversation, hot.state, entry, seq)
        transition = decide(hot.state, entry, facts)
        if transition is None:
            metrics.IGNORED.labels(kind).inc()
            return Hot(hot.state, hot.revision, seq)
        with tracer().start_as_current_span("conversation.transition") as span, metrics.COMMIT_SECONDS.time():
            span.set_attribute("parley.entry", kind)
            result = await self._store.commit(hot, transition)
        metrics.TRANSITIONS.labels(kind).inc()
        self._committed(transition.state)
        log("parley.conversation").info("transition", extra={"entry": kind, "seq": seq, **_turn(transition.state)})
        return result

    async def _facts(self, conversation: str, state: Checkpoint | None, entry: Entry, seq: int) -> Facts:
        hint, deeds, burst = RouteHint(), None, self._directory.burst(state.owner if state else "")
        if _brings_words(state, entry):
            needed = state is None or not state.owner
            hint = await self._intents.route(route_text(state, entry), needed=needed)
        if state and state.turn and may_end_turn(state, entry, burst):
            deeds = await self._store.deeds(conversation, state.turn.turn_id)
        return Facts(
            conversation,
            seq,
            now_ms(),
            int(self._settings.turn_timeout_s * 1000),
            self._directory.names(),
            hint,
            self._board.in_force(state.owner if state else ""),
            self._settings.max_handoffs,
            burst,
            deeds,
        )


def _brings_words(state: Checkpoint | None, entry: Entry) -> bool:
    """Whether there is something to route: new words, or old ones that nobody has taken."""
    if isinstance(entry, RetryRequested):
        return state is not None and not state.owner
    return isinstance(entry, CustomerMessage) and (state is None or entry.message_id not in state.recent)


def _turn(state: Checkpoint) -> dict[str, Any]:
    return {"turn": state.turn.turn_id, "owner": state.owner} if state.turn else {"owner": state.owner}


def _told(error: Exception) -> str:
    """What may be told of an error: the text of one that nobody foresaw may hold a customer's words."""
    return error.message if isinstance(error, ParleyError) else f"an unforeseen {type(error).__name__}"


async def _quietly(sending: Awaitable[None] | None) -> None:
    # A lost ack costs a redelivery, which is recognised by its sequence.
    with contextlib.suppress(*CLIENT_ERRORS):
        if sending:
            await sending
