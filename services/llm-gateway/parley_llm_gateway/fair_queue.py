"""A bounded queue in which tenants take turns: one that sends a thousand requests waits behind itself."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque


class FairQueue:
    """Waiters by tenant. At most `length` in all, and half of that for one tenant while others wait."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def takes(self, tenant: str) -> bool:
        """Whether one more of `tenant` may wait."""
        own = len(self._waiting.get(tenant, ()))
        alone = own == self._size
        return self._size < self._length and (alone or own < max(1, self._length // 2))

    def join(self, tenant: str) -> asyncio.Future[None]:
        """A future that is done when it is this one's turn. Use `leave` where it is given up."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(waiter)
        self._size += 1
        return waiter

    def leave(self, tenant: str, waiter: asyncio.Future[None]) -> None:
        queue = self._waiting.get(tenant)
        if queue and waiter in queue:
            queue.remove(waiter)
            self._size -= 1
            if not queue:
                del self._waiting[tenant]

    def next(self) -> bool:
        """Wake the first of the tenant whose turn it is; False when nobody waits."""
        while self._waiting:
            tenant, queue = next(iter(self._waiting.items()))
            waiter = queue.popleft()
            self._size -= 1
            self._waiting.move_to_end(tenant)
            if not queue:
                del self._waiting[tenant]
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False
