"""The world outside the decision: embeddings for routing, and the log as a store of conversations."""

from __future__ import annotations

import base64
import contextlib
import time
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from parley_conversation.deeds import Deeds, deeds_of
from parley_conversation.transition import Transition
from parley_mesh.archive import recall
from parley_mesh.bus import Bus, Write
from parley_mesh.commits import Commits
from parley_mesh.patience import patient
from parley_mesh.telemetry import inject, log
from parley_proto import subjects
from parley_proto.conversation import Checkpoint, TurnDue
from parley_proto.envelope import decode, digest, encode, now_ms
from parley_proto.errors import ConflictError, ParleyError
from parley_proto.rag import EmbedReply, EmbedRequest
from parley_proto.specialist import AssignTurn, DeadLetter, RouteHint, Step, TurnOpened, TurnRevoked

KEEP = {"Nats-Rollup": "sub", "Nats-TTL": "never"}
REQUEST_S = 2.0
AWAY_S = 5.0


class Hot(msgspec.Struct):
    """A conversation in memory: its state and the revision that the next write must follow (0 for none yet)."""

    state: Checkpoint | None
    revision: int
    last_in_seq: int


class Heads(Protocol):
    """The trained head: from an embedding to a specialty."""

    def route(self, vector: bytes, text: str = "") -> RouteHint: ...


class Intents:
    """Routes a text: its embedding from rag, then the linear head. Unsure where rag does not answer in time."""

    def __init__(self, bus: Bus, head: Heads, timeout_s: float, again_timeout_s: float) -> None:
        self._bus = bus
        self._head = head
        self._timeout_s = timeout_s
        self._again_timeout_s = again_timeout_s
        self._away_until = 0.0

    async def route(self, text: str, *, needed: bool) -> RouteHint:
        """`needed` where nobody owns the conversation yet: then it is worth waiting for rag, else not."""
        if not needed and time.monotonic() < self._away_until:
            return RouteHint()
        try:
            return self._head.route(await self._embed(text, needed=needed), text)
        except ParleyError as error:
            self._away_until = time.monotonic() + AWAY_S
            log("parley.conversation").warning("routing without knowledge", extra={"reason": error.message})
            return RouteHint()

    async def _embed(self, text: str, *, needed: bool) -> bytes:
        request = encode(EmbedRequest([text]))
        once = min(REQUEST_S, self._timeout_s) if needed else self._again_timeout_s
        async for attempt in patient(self._timeout_s if needed else 0.0):
            with attempt:
                data = await self._bus.request(subjects.RAG_EMBED, request, timeout=once, headers=inject())
        reply: EmbedReply = decode(data, EmbedReply)
        return reply.vectors


class Log:
    """Conversations on the log: checkpoints read from the leader, transitions written as one batch."""

    def __init__(self, bus: Bus, shards: int) -> None:
        self._bus = bus
        self._shards = shards
        self._commits = Commits(bus)

    async def load(self, conversation: str) -> Hot:
        """The conversation as it stands; TransientError while its checkpoint is only in the archive, and that is away.

        A marker in the log stands for a checkpoint in the archive; what comes next is fenced by the marker's revision.
        """
        stored = await self._bus.last(subjects.checkpoint(conversation))
        if stored is None:
            return Hot(None, 0, 0)
        state: Checkpoint = (
            decode(stored.data, Checkpoint) if stored.data else await recall(self._bus, conversation, stored)
        )
        return Hot(state, stored.seq, state.last_in_seq)

    async def next(self, conversation: str, after: int) -> tuple[int, bytes, dict[str, str]] | None:
        """Sequence, body and headers of the conversation's next entry."""
        stored = await self._bus.next(subjects.conv(conversation, self._shards), after)
        return (stored.seq, stored.data, stored.headers) if stored else None

    async def deeds(self, conversation: str, turn_id: str) -> Deeds:
        """What the turn has done so far, by its journal."""
        subject, steps, seq = subjects.step(conversation, turn_id), list[Step](), 0
        last = await self._bus.last(subject)
        if last and isinstance(opened := decode(last.data, Step), TurnOpened):
            return deeds_of([opened], last.seq)
        while stored := await self._bus.next(subject, seq):
            steps.append(decode(stored.data, Step))
            seq = stored.seq
        return deeds_of(steps, seq)

    async def keep_unreadable(self, conversation: str, seq: int, data: bytes, reason: str) -> None:
        """Set aside an entry that nobody can read, for a person to see."""
        dead_id = "d" + digest(conversation, str(seq))
        entry = base64.b64encode(data).decode()
        dead = DeadLetter(dead_id, conversation, "unreadable", reason, now_ms(), seq, entry=entry)
        with contextlib.suppress(ConflictError):
            # An owner that comes later reads the same entry and finds its dead letter there.
            await self._bus.append(subjects.dead(dead_id), encode(dead), expect=0)

    async def commit(self, hot: Hot, transition: Transition) -> Hot:
        """All of the transition or nothing; ConflictError when somebody else has written since `hot`."""
        revision = await self._commits.commit(self._batch(transition, hot.revision))
        await self._stop_models(transition)
        return Hot(transition.state, revision, transition.state.last_in_seq)

    async def _stop_models(self, transition: Transition) -> None:
        """Nobody waits for a revoked turn: its completions end at once. One that does not hear of it is only late."""
        for step in transition.steps:
            if isinstance(step, TurnRevoked):
                with contextlib.suppress(ParleyError):
                    await self._bus.publish(subjects.cancel(step.turn_id), b"")

    def _batch(self, transition: Transition, revision: int) -> list[Write]:
        state = transition.state
        cid = state.conversation
        writes = [Write(subjects.out(cid), encode(shown)) for shown in transition.shown]
        writes += [_journaled(cid, step, transition.revokes) for step in transition.steps]
        if transition.dead:
            writes.append(Write(subjects.dead(transition.dead.dead_id), encode(transition.dead)))
        if transition.assign:
            writes += self._work(transition.assign)
        return [*writes, Write(subjects.checkpoint(cid), encode(state), KEEP, revision)]

    def _work(self, turn: AssignTurn) -> list[Write]:
        lane = "urgent" if turn.specialty == "escalation" else "normal"
        due = TurnDue(turn.turn_id, turn.epoch)
        when = {
            "Nats-Schedule": f"@at {_rfc3339(turn.deadline_at)}",
            "Nats-Schedule-Target": subjects.conv(turn.conversation, self._shards),
        }
        return [
            Write(subjects.turn(turn.specialty, subjects.TRACK, lane), encode(turn), inject()),
            Write(subjects.due(turn.conversation), encode(due), when),
        ]


def _journaled(conversation: str, step: Step, revokes: int | None) -> Write:
    expect = revokes if isinstance(step, TurnRevoked) else None
    return Write(subjects.step(conversation, step.turn_id), encode(step), expect=expect)


def _rfc3339(ms: int) -> str:
    return datetime.fromtimestamp(-(-ms // 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
