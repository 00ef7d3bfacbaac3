"""The wiring of the returns specialty."""

from __future__ import annotations

from parley_mesh.runner import Mesh, Service
from parley_returns.settings import Settings
from parley_returns.spec import spec
from parley_specialist.service import specialist


async def build(settings: Settings, mesh: Mesh) -> Service:
    return await specialist(spec(), settings, mesh)
