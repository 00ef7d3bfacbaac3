"""Wiring of the llm-gateway."""

from __future__ import annotations

from typing import Any

from parley_llm_gateway.completions import Bounds, Completions
from parley_llm_gateway.door import Door
from parley_llm_gateway.handlers import completing, embedding, naming
from parley_llm_gateway.models import Models
from parley_llm_gateway.reload import Reload, read
from parley_llm_gateway.settings import Settings
from parley_llm_gateway.spending import Spending
from parley_llm_gateway.web import web
from parley_mesh.endpoints import Endpoint
from parley_mesh.runner import Mesh, Service
from parley_proto import subjects

ALL_TIERS = "llm.complete.*"
ALL_CANCELS = "llm.cancel.*"
ALL_RENEWALS = "llm.renew.*"
# Room to refuse what is too much instead of letting it wait unseen.
SPARE = 64


async def build(settings: Settings, mesh: Mesh, models: Models | None = None) -> Service:
    """The llm-gateway on `mesh`; tests give `models` of their own. SettingsError names what is wrong."""
    completions = Completions(models or Models(read(settings)), Bounds(settings.max_running, settings.total_s))
    listening = [
        await mesh.bus.listen(ALL_CANCELS, naming(completions.running.cancel)),
        await mesh.bus.listen(ALL_RENEWALS, naming(completions.running.renew)),
    ]
    reload = Reload(settings, completions)
    spending = Spending(mesh.client, mesh.bus, completions)
    await spending.read()
    door = Door(lambda: completions.plant.config.callers)
    http: Any = web(completions, door, max_bytes=settings.max_request_bytes, total_s=settings.total_s)
    limit = settings.max_running + SPARE

    async def start() -> None:
        spending.start()
        reload.start()

    async def close() -> None:
        await reload.stop()
        await spending.stop()
        for subscription in listening:
            await subscription.close()
        await completions.plant.retire(None, 0.0)

    return Service(
        endpoints=[
            Endpoint("complete", ALL_TIERS, stream=completing(completions), limit=limit),
            Endpoint("embed", subjects.LLM_EMBED, answer=embedding(completions), limit=limit),
        ],
        ready=completions.out_of_order,
        start=start,
        drain=completions.running.drained,
        close=close,
        stats=lambda: {"running": len(completions.running), "breakers": completions.breakers()},
        http=http,
    )
