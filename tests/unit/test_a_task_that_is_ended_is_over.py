"""Cancelling once is not enough where something in between swallows it."""

from __future__ import annotations

import asyncio

from parley_mesh.tasks import end


async def test_a_swallowed_cancel_is_repeated() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 1:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await end(task, None)
    assert task.cancelled() and swallowed == 2
