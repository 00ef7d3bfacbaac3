"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 0.5


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel `tasks` and wait until they are over.

    More than once where needed: on Python 3.11 `wait_for`, which the NATS client uses, swallows a cancel that comes
    together with its result.
    """
    running = {task for task in tasks if task is not None and not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=AGAIN_S)
