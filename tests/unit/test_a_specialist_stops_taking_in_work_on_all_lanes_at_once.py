"""A specialist that drains: no lane goes on pulling while another one finishes its turns."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from parley_mesh.memory import MemoryBus
from parley_mesh.runner import Mesh
from parley_mesh.settings import MeshSettings
from parley_specialist import service
from parley_specialist.settings import Settings
from parley_specialist.spec import Spec


class Lane:
    """A queue whose turns take a moment to finish."""

    pulling = 0
    finished_while_others_pulled = False

    def __init__(self, *_: Any, slots: Any) -> None:
        Lane.pulling += 1

    async def drain(self, _timeout_s: float) -> None:
        Lane.pulling -= 1
        await asyncio.sleep(0.01)
        Lane.finished_while_others_pulled |= Lane.pulling > 0


async def test_all_lanes_stop_pulling_before_any_waits_for_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "WorkQueue", Lane)
    mesh = Mesh("billing", MeshSettings(), MemoryBus(), cast(Any, None), "billing-1")
    built = await service.specialist(Spec("billing", "Billing", "charges", "You are billing.", []), Settings(), mesh)
    await built.drain()
    await built.close()
    assert Lane.pulling == 0 and not Lane.finished_while_others_pulled
