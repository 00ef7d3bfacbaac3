"""Wiring of the llm-gateway."""

from __future__ import annotations

from typing import Any

from parley_llm_gateway.adapters import OfflineProvider, Provider, provider_of
from parley_llm_gateway.attempts import Attempts
from parley_llm_gateway.completions import Bounds, Completions
from parley_llm_gateway.door import Door
from parley_llm_gateway.handlers import cancelling, completing
from parley_llm_gateway.offline import MODEL
from parley_llm_gateway.settings import Settings, read_keys
from parley_llm_gateway.web import web
from parley_mesh.endpoints import Endpoint
from parley_mesh.runner import Mesh, Service

ALL_TIERS = "llm.complete.*"
ALL_CANCELS = "llm.cancel.*"
# Room to refuse what is too much instead of letting it wait unseen.
SPARE = 64


async def build(settings: Settings, mesh: Mesh, provider: Provider | None = None) -> Service:
    """The llm-gateway on `mesh`; tests give a `provider` of their own."""
    provider = provider or provider_of(settings)
    completions = completions_of(settings, provider)
    listening = await mesh.bus.listen(ALL_CANCELS, cancelling(completions))

    http: Any = web(
        completions,
        Door(read_keys(settings.caller_keys)),
        max_bytes=settings.max_request_bytes,
        total_s=settings.total_s,
    )

    async def close() -> None:
        await listening.close()
        if provider:
            await provider.close()

    return Service(
        endpoints=[Endpoint("complete", ALL_TIERS, stream=completing(completions), limit=settings.max_running + SPARE)],
        ready=completions.key_refused,
        drain=completions.running.drained,
        close=close,
        stats=lambda: {"running": len(completions.running), "breakers": completions.breakers()},
        http=http,
    )


def completions_of(settings: Settings, provider: Provider | None) -> Completions:
    """Routes to the provider's models and, always, to the offline model; the first is the default."""
    routes: dict[str, Attempts] = {}
    if provider:
        for model in settings.provider_models or (settings.model,):
            routes[model] = Attempts(provider, model, settings.attempts)
    routes[MODEL] = Attempts(OfflineProvider(), MODEL, limit=1)
    return Completions(routes, Bounds(settings.max_running, settings.total_s))
