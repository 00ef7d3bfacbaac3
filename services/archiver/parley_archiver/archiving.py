"""From the log to the archive: collect, attribute, seal, write, and only then acknowledge."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from parley_archiver import metrics
from parley_archiver.adapters import Store
from parley_archiver.attribution import Attribution
from parley_archiver.checkpoints import keep, newest
from parley_archiver.domain import Columns, Facts, Owner, Sealed, is_record, recognise, storable, wait_before
from parley_archiver.inbox import Delivery, Inbox, settle
from parley_archiver.keyring import Chain, Keyring
from parley_archiver.sealing import seal
from parley_mesh.bus import Stored
from parley_mesh.telemetry import log, tracer
from parley_proto.errors import ParleyError

IDLE_S = 2.0
# A statement has longer than that; but who asks how the archive is wants to know by then.
SLOW_S = 5.0
_SLOW = "The archive takes longer than usual; what is said waits in the log meanwhile: look whether PostgreSQL answers."


class Archiving:
    """One batch after another, each tried until it is committed.

    Nothing is acknowledged before its commit, so a crash anywhere costs a redelivery and nothing else.
    """

    def __init__(
        self,
        inbox: Inbox,
        store: Store,
        attribution: Attribution,
        keyring: Keyring,
        *,
        stream: str,
        committed: Callable[[], None],
        idle_s: float = IDLE_S,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._attribution = attribution
        self._keyring = keyring
        self._stream = stream
        self._committed = committed
        self._idle_s = idle_s
        self._reason = "The archive has not been reached yet."
        self._trying_since = 0.0
        self._slow = False
        self.rows = 0

    @property
    def reason(self) -> str:
        """Why the archive takes nothing now, empty while it does."""
        return self._reason or (_SLOW if self._slow or self._lasts() else "")

    def _lasts(self) -> bool:
        """Whether the batch in hand takes too long."""
        return bool(self._trying_since) and time.monotonic() - self._trying_since > SLOW_S

    async def run(self) -> None:
        """Archive until the inbox is closed and empty; what can't be committed by then goes back to the log."""
        batch: list[Delivery] = []
        try:
            while await self._until_done(batch) and not self._inbox.closed:
                batch = await self._inbox.take(self._idle_s)
        finally:
            await settle([delivery.release for delivery in self._inbox.abandon()])

    async def _until_done(self, batch: Sequence[Delivery]) -> bool:
        """Try until `batch` is committed, then acknowledge it; False when a shutdown came before that."""
        attempt = 0
        while not await self._attempt(batch):
            if await self._inbox.closes_within(wait_before(attempt, random.random())):
                return False
            attempt += 1
        await settle([delivery.ack for delivery in batch])
        self._inbox.done()
        self._committed()
        return True

    async def _attempt(self, batch: Sequence[Delivery]) -> bool:
        self._trying_since = time.monotonic()
        try:
            await self._store.prepare()
            await (self._archive(batch) if batch else self._store.ping())
        except ParleyError as error:
            self._failed(error.code, error.message)
            return False
        except Exception:
            # A batch that can't be archived must stop the acknowledging, not the service: its answers still work.
            log("parley.archiver").exception("a batch failed")
            self._failed("internal", "The archiver failed on a batch: its log says where.")
            return False
        finally:
            # Until a batch goes through as usual: not well between two slow ones.
            self._slow, self._trying_since = self._lasts(), 0.0
        self._reason = ""
        return True

    def _failed(self, code: str, message: str) -> None:
        metrics.FAILURES.labels(code).inc()
        if message != self._reason:
            log("parley.archiver").warning("the archive waits", extra={"code": code, "reason": message})
        self._reason = message

    async def _archive(self, batch: Sequence[Delivery]) -> None:
        with tracer().start_as_current_span("archive.batch") as span:
            records = [delivery.stored for delivery in batch if is_record(delivery.stored.subject)]
            heads = newest(delivery.stored for delivery in batch)
            messages = _once(records)
            sealed = await self._seal_all([*messages, *(stored for stored, _ in heads)])
            sealed, states = sealed[: len(messages)], sealed[len(messages) :]
            kept = [keep(one.row, state) for one, (_, state) in zip(states, heads, strict=True)]
            with metrics.COMMIT.time():
                written = await self._store.write(sealed, kept)
            span.set_attribute("rows", written)
        self.rows += written
        metrics.BATCHES.inc()
        metrics.ROWS.inc(written)
        metrics.REPEATED.inc(len(records) - written)
        metrics.UNATTRIBUTED.inc(sum(one.root is None for one in sealed))

    async def _seal_all(self, messages: Sequence[Stored]) -> list[Sealed]:
        facts = [recognise(stored.subject, stored.data, stored.headers) for stored in messages]
        owners = await self._attribution.owners(facts)
        chains = await self._keyring.for_writing(owner.root for owner in owners)
        rows = zip(messages, facts, owners, strict=True)
        return [self._sealed(stored, of, owner, chains[owner.root]) for stored, of, owner in rows]

    def _sealed(self, stored: Stored, facts: Facts, owner: Owner, chain: Chain) -> Sealed:
        key = chain.key_at(stored.at)
        columns = Columns(
            tenant=owner.tenant,
            stream=self._stream,
            seq=stored.seq,
            at=stored.at,
            conversation=facts.conversation,
            subject=storable(stored.subject),
            type=facts.type,
            role=facts.role,
            turn_id=facts.turn_id,
            trace=facts.trace,
            key_id=key.key_id,
        )
        return Sealed(seal(columns, stored.data, key.cipher), owner.root if owner.known else None, facts.owner)


def _once(messages: list[Stored]) -> list[Stored]:
    """Each message once, in the log's order: a redelivery can meet its first delivery in one batch."""
    return [stored for _, stored in sorted({stored.seq: stored for stored in messages}.items())]
