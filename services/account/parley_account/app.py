"""The wiring of the account specialty."""

from __future__ import annotations

from parley_account.settings import Settings
from parley_account.spec import spec
from parley_mesh.runner import Mesh, Service
from parley_specialist.service import specialist


async def build(settings: Settings, mesh: Mesh) -> Service:
    return await specialist(spec(), settings, mesh)
