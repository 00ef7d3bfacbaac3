"""Whose a message is: customers' entries say so themselves, the rest follows its conversation."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from parley_archiver.adapters import Store
from parley_archiver.domain import Facts, Owner, owner_of, recognise, tenants_own
from parley_mesh.bus import Bus
from parley_proto import subjects

CACHED = 50_000


class Attribution:
    """Conversation -> owner: from what was seen, from the archive, from the log's first entry, else the tenant's own.

    Raises TransientError where archive or log can't be asked: a guess would file the message under the wrong key.
    """

    def __init__(self, bus: Bus, store: Store, *, tenant: str, shards: int, cached: int = CACHED) -> None:
        self._bus = bus
        self._store = store
        self._tenants_own = tenants_own(tenant)
        self._shards = shards
        self._cached = cached
        self._owners: OrderedDict[str, Owner] = OrderedDict()

    async def owners(self, batch: Sequence[Facts]) -> list[Owner]:
        """The owner of each message of `batch`, in its order."""
        known = self._heard(batch)
        asked = {facts.conversation for facts in batch if facts.conversation and facts.identity is None}
        known |= await self._look_up(sorted(asked - known.keys()))
        self._remember(known)
        return [self._owner(facts, known) for facts in batch]

    def _heard(self, batch: Sequence[Facts]) -> dict[str, Owner]:
        """Conversations that were seen before, or whose customer speaks in this batch; the first one counts."""
        known: dict[str, Owner] = {}
        for facts in batch:
            cached = self._owners.get(facts.conversation)
            if cached and cached.known:
                known.setdefault(facts.conversation, cached)
            elif facts.identity and facts.conversation:
                known.setdefault(facts.conversation, owner_of(facts.identity))
        return known

    async def _look_up(self, conversations: list[str]) -> dict[str, Owner]:
        fallen_back = {cid: self._owners[cid] for cid in conversations if cid in self._owners}
        rest = [cid for cid in conversations if cid not in fallen_back]
        archived = await self._store.owners(rest) if rest else {}
        fresh = [cid for cid in rest if cid not in archived]
        first = await asyncio.gather(*(self._first_in_log(cid) for cid in fresh))
        return fallen_back | archived | dict(zip(fresh, first, strict=True))

    async def _first_in_log(self, conversation: str) -> Owner:
        entry = await self._bus.next(subjects.conv(conversation, self._shards), 0)
        facts = recognise(entry.subject, entry.data, entry.headers) if entry else None
        return owner_of(facts.identity) if facts and facts.identity else self._tenants_own

    def _owner(self, facts: Facts, known: dict[str, Owner]) -> Owner:
        if facts.identity:
            return owner_of(facts.identity)
        return known.get(facts.conversation, self._tenants_own)

    def _remember(self, known: dict[str, Owner]) -> None:
        for conversation, owner in known.items():
            self._owners[conversation] = owner
            self._owners.move_to_end(conversation)
        while len(self._owners) > self._cached:
            self._owners.popitem(last=False)
