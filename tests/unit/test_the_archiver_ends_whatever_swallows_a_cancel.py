"""The archiver's close comes to an end though the NATS client can swallow a cancel that comes with its result."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from parley_archiver.app import Archiver


class _Idle:
    """Everything of the archiver that this test is not about."""

    held = 0

    def __init__(self) -> None:
        self.closed = False

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def start(self) -> None:
        return

    async def close(self) -> None:
        self.closed = True


class _Sweeping(_Idle):
    """A loop in which one look loses the cancel, as `wait_for` of Python 3.11 does, and the next one does not."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def run(self) -> None:
        while True:
            self.looks += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if self.looks > 1:
                    raise


async def test_a_swallowed_cancel_does_not_keep_it_open() -> None:
    store, sweeping = _Idle(), _Sweeping()
    parts = cast(Any, [_Idle(), _Idle(), _Idle(), store, _Idle(), sweeping])
    archiver = Archiver(*parts)
    await archiver.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await archiver.close()
    assert store.closed and sweeping.looks == 2
