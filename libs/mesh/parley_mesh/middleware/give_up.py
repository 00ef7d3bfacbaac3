"""After too many attempts the work is answered as failed instead of being tried again without end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from parley_mesh.work import Delivery, Handler, Middleware


def give_up(after: int, fail: Callable[[Delivery], Awaitable[None]]) -> Middleware:
    """Call `fail` in place of the handler from attempt `after` + 1 on (design.md, 'A turn', 4)."""

    def wrap(handler: Handler) -> Handler:
        async def bounded(delivery: Delivery) -> None:
            await (handler(delivery) if delivery.attempt <= after else fail(delivery))

        return bounded

    return wrap
