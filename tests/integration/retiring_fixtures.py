"""A log with one conversation process on it, for tests of what leaves the log and comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from retiring_scene import Scene

from parley_testkit.bench import Bench


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Bench() as bench:
        bench.launch("conversation-1")
        await bench.until_shared(1)
        yield Scene(bench)
