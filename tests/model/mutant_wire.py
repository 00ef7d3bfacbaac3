"""Planted faults of the log itself: the model check is only believed because it catches each of them."""

from __future__ import annotations

from typing import Literal

import msgspec
from nats.aio.msg import Msg

from parley_mesh.wire import OnMessage, Wire, WireSubscription

Mutation = Literal["", "no ids", "no expectations", "no journal", "no fence for revoking"]
EXPECT = "Nats-Expected-Last-Subject-Sequence"
NOWHERE = "effect.nowhere-nowhere-nowhere"


class MutantWire:
    """`Wire` to a log that ignores message ids, or expectations, or those of an owner about a turn's journal, or (for a
    specialist) what journal and ledger say.
    """

    def __init__(self, wire: Wire, mutation: Mutation) -> None:
        self._wire = wire
        self._mutation = mutation

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        await self._wire.publish(subject, payload, reply, self._headers(subject, headers))

    async def request(
        self, subject: str, payload: bytes = b"", timeout: float = 0.5, *, headers: dict[str, str] | None = None
    ) -> Msg:
        if self._mutation == "no journal" and subject.startswith("$JS.API.STREAM.MSG.GET."):
            payload = _forgotten(payload)
        return await self._wire.request(subject, payload, timeout, headers=self._headers(subject, headers))

    async def subscribe(self, subject: str, queue: str = "", cb: OnMessage | None = None) -> WireSubscription:
        return await self._wire.subscribe(subject, queue, cb)

    def new_inbox(self) -> str:
        return self._wire.new_inbox()

    def _headers(self, subject: str, headers: dict[str, str] | None) -> dict[str, str] | None:
        dropped = "Nats-Msg-Id" if self._mutation == "no ids" else EXPECT
        concerned = self._mutation in ("no ids", "no expectations") or subject.startswith(("step.", "effect."))
        return {name: value for name, value in headers.items() if name != dropped or not concerned} if headers else None


def _forgotten(payload: bytes) -> bytes:
    """A read of the ledger finds nothing, one of a journal nothing behind its first entry."""
    query = msgspec.json.decode(payload)
    ledger = str(query.get("last_by_subj", "")).startswith("effect.")
    journal = str(query.get("next_by_subj", "")).startswith("step.") and query["seq"] > 1
    return msgspec.json.encode({"last_by_subj": NOWHERE} if ledger or journal else query)
