"""The wiring of the technical specialty."""

from __future__ import annotations

from parley_mesh.runner import Mesh, Service
from parley_specialist.service import specialist
from parley_technical.settings import Settings
from parley_technical.spec import spec


async def build(settings: Settings, mesh: Mesh) -> Service:
    return await specialist(spec(), settings, mesh)
