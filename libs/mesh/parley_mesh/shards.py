"""Who owns which shard: live instances share them by one pure rule, and a pinned consumer holds each."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable
from typing import Protocol

import msgspec
from nats.aio.msg import Msg

from parley_mesh.bus import Bus, Stored, Subscription
from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.pull import PullLoop
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_mesh.topology import GROUP, shard_consumer
from parley_mesh.wire import Wire
from parley_proto import subjects
from parley_proto.envelope import decode, encode
from parley_proto.errors import ParleyError

PULL_EXPIRES_S = 0.7
PULL_BATCH = 100


class Peer(msgspec.Struct, frozen=True):
    """An instance says that it is alive, or that it is leaving."""

    instance: str
    leaving: bool = False


class Keeper(Protocol):
    """Who handles the entries of owned shards. None of these may block."""

    def deliver(self, message: Msg) -> None: ...

    def recover(self, stored: Stored) -> None:
        """An entry that may have been delivered to somebody who is gone."""
        ...

    def forget(self, shard: int) -> None:
        """Drop what is remembered of a shard: others may have written since."""
        ...


def share(instances: Iterable[str], shards: int) -> dict[int, str]:
    """Which instance each shard belongs to: at most ceil(shards / instances) each, few moves when one joins or leaves.

    Rendezvous hashing with a cap, so every instance comes to the same answer from the same list.
    """
    names = sorted(set(instances))
    if not names:
        return {}
    cap = -(-shards // len(names))
    load = dict.fromkeys(names, 0)
    owners: dict[int, str] = {}
    for shard in range(shards):
        free = [name for name in names if load[name] < cap]
        owners[shard] = max(free, key=lambda name: hashlib.sha256(f"{name}/{shard}".encode()).digest())
        load[owners[shard]] += 1
    return owners


class Shards:
    """Pulls the shards that are this instance's share, and gives back the others.

    A new pin, or a gap in a consumer's own count, means that entries may have gone elsewhere: the shard is forgotten
    and read again from what is not yet acknowledged.
    """

    def __init__(
        self,
        client: Wire,
        bus: Bus,
        keeper: Keeper,
        instance: str,
        *,
        shards: int,
        heartbeat_s: float,
        timeout_s: float,
    ) -> None:
        self._client = client
        self._bus = bus
        self._keeper = keeper
        self._instance = instance
        self._count = shards
        self._heartbeat_s = heartbeat_s
        self._timeout_s = timeout_s
        self._peers: dict[str, float] = {}
        self._loops: dict[int, PullLoop] = {}
        self._expected: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat: asyncio.Task[None] | None = None
        self._listening: Subscription | None = None

    @property
    def owned(self) -> list[int]:
        """The shards that this instance pulls."""
        return sorted(self._loops)

    @property
    def pinned(self) -> int:
        return sum(1 for loop in self._loops.values() if loop.pin)

    async def start(self) -> None:
        self._listening = await self._bus.listen(subjects.PEERS, self._hear)
        self._beat = asyncio.create_task(self._run(), name="shards")

    async def stop(self) -> None:
        """Tell the others, then unpin: handover in milliseconds instead of a timeout."""
        await end(self._beat)
        await asyncio.gather(self._announce(leaving=True), return_exceptions=True)
        await asyncio.gather(*(self._release(shard) for shard in self.owned))
        if self._listening:
            await self._listening.close()

    async def _run(self) -> None:
        # Hear the others once before claiming anything.
        await self._announce()
        await asyncio.sleep(self._heartbeat_s * 1.2)
        while True:
            await self._announce()
            try:
                await self._rebalance()
            except Exception:
                # Whoever stops announcing loses its shards: the next beat tries again.
                log("parley.mesh").exception("shards were not rebalanced")
            await asyncio.sleep(self._heartbeat_s)

    async def _announce(self, *, leaving: bool = False) -> None:
        try:
            await self._bus.publish(subjects.PEERS, encode(Peer(self._instance, leaving)))
        except ParleyError as error:
            log("parley.mesh").info("heartbeat not sent", extra={"reason": error.message})

    async def _hear(self, _subject: str, data: bytes, _headers: dict[str, str]) -> None:
        peer: Peer = decode(data, Peer)
        if peer.leaving:
            self._peers.pop(peer.instance, None)
        else:
            self._peers[peer.instance] = time.monotonic()

    def _alive(self) -> list[str]:
        oldest = time.monotonic() - self._timeout_s
        self._peers = {name: seen for name, seen in self._peers.items() if seen >= oldest}
        return [*self._peers, self._instance]

    async def _rebalance(self) -> None:
        owners = share(self._alive(), self._count)
        mine = {shard for shard, owner in owners.items() if owner == self._instance}
        surplus = [shard for shard in self.owned if shard not in mine]
        missing = sorted(mine - set(self._loops))
        if surplus or missing:
            log("parley.mesh").info("shards", extra={"taken": len(missing), "released": len(surplus)})
        await asyncio.gather(*(self._release(shard) for shard in surplus), *(self._take(shard) for shard in missing))

    async def _take(self, shard: int) -> None:
        def deliver(message: Msg) -> None:
            self._deliver(shard, message)

        def pinned(_pin: str) -> None:
            self._begin_anew(shard)

        loop = PullLoop(
            self._client,
            subjects.STREAM,
            shard_consumer(shard),
            deliver,
            room=lambda: PULL_BATCH,
            expires_s=PULL_EXPIRES_S,
            group=GROUP,
            on_pin=pinned,
        )
        await loop.start()
        self._loops[shard] = loop

    async def _release(self, shard: int) -> None:
        loop = self._loops.pop(shard)
        pinned = bool(loop.pin)
        await loop.stop()
        self._keeper.forget(shard)
        if pinned:
            subject = f"$JS.API.CONSUMER.UNPIN.{subjects.STREAM}.{shard_consumer(shard)}"
            try:
                await self._client.request(subject, msgspec.json.encode({"group": GROUP}), timeout=1)
            except CLIENT_ERRORS as error:
                log("parley.mesh").info("not unpinned", extra={"shard": shard, "reason": str(error)})

    def _deliver(self, shard: int, message: Msg) -> None:
        number = message.metadata.sequence.consumer
        if number != self._expected.get(shard, number):
            self._begin_anew(shard)
        self._expected[shard] = number + 1
        self._keeper.deliver(message)

    def _begin_anew(self, shard: int) -> None:
        self._expected.pop(shard, None)
        self._keeper.forget(shard)
        task = asyncio.create_task(self._recover(shard), name=f"recover {shard}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _recover(self, shard: int) -> None:
        """Feed the keeper what was delivered and not acknowledged, without waiting for the redelivery timeout.

        What nobody was given yet comes as a delivery, within the consumer's `max_ack_pending`.
        """
        try:
            seq, newest = await self._unsettled(shard)
            while shard in self._loops and seq < newest:
                stored = await self._bus.next(subjects.conv_shard(shard), seq)
                if stored is None or stored.seq > newest:
                    return
                seq = stored.seq
                self._keeper.recover(stored)
        except (ParleyError, *CLIENT_ERRORS) as error:
            # The redelivery after ack_wait brings the same entries, only later.
            log("parley.mesh").info("recovery stopped", extra={"shard": shard, "reason": str(error)})

    async def _unsettled(self, shard: int) -> tuple[int, int]:
        """Sequences of the stream: up to the first all is acknowledged, behind the second nothing was delivered."""
        subject = f"$JS.API.CONSUMER.INFO.{subjects.STREAM}.{shard_consumer(shard)}"
        reply = await self._client.request(subject, b"", timeout=3)
        info = msgspec.json.decode(reply.data)
        floor, delivered = info.get("ack_floor", {}), info.get("delivered", {})
        return int(floor.get("stream_seq", 0)), int(delivered.get("stream_seq", 0))
