"""How often a turn is tried, and that one which kills its process is not mistaken for those beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from parley_proto.specialist import AssignTurn, AttemptBegan, AttemptFailed
from parley_specialist.journal import Journal

# So many attempts run beside others, whatever became of them.
FREE = 2


class Attempts:
    """At most `most` attempts a turn.

    A process that dies takes all of its turns along, and a count of deliveries would blame each of them. So a turn of
    which two processes have died is suspected: suspects work one at a time in a process, and from then on only what a
    turn began itself counts against it. Turns of which nothing is suspected go on beside a suspect; if it takes them
    along, they have their free attempts for that.
    """

    def __init__(self, journal: Journal, most: int) -> None:
        self._journal = journal
        self._most = most
        self._one_suspect = asyncio.Lock()

    async def run(
        self, turn: AssignTurn, attempt: int, work: Callable[[], Awaitable[None]], fail: Callable[[], Awaitable[None]]
    ) -> None:
        """`work`, or `fail` in its stead once it has been tried often enough. PermanentError `revoked`."""
        if attempt <= FREE:
            await work()
            return
        steps, _ = await self._journal.read(turn)
        failed = sum(isinstance(step, AttemptFailed) for step in steps)
        if attempt - 1 - failed < FREE:
            await (work() if attempt <= self._most else fail())
            return
        began = FREE + sum(isinstance(step, AttemptBegan) for step in steps)
        async with self._one_suspect:
            if began >= self._most:
                await fail()
                return
            await self._journal.began(turn, attempt)
            await work()
