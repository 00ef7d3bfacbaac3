from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from places import Place, place

from parley_proto.envelope import new_id


@pytest.fixture(params=["memory", "nats"])
async def where(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with place(request.param) as found:
        yield found


@pytest.fixture
def cid() -> str:
    return new_id("c")
