"""The wiring of the escalation specialty."""

from __future__ import annotations

from parley_escalation.settings import Settings
from parley_escalation.spec import spec
from parley_mesh.runner import Mesh, Service
from parley_specialist.service import specialist


async def build(settings: Settings, mesh: Mesh) -> Service:
    return await specialist(spec(), settings, mesh)
