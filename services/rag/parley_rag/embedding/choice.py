"""Which embedder the settings ask for."""

from __future__ import annotations

from typing import Literal

from parley_mesh.bus import Bus
from parley_proto.errors import SettingsError
from parley_rag.embedding.embedder import Embedder
from parley_rag.embedding.local import LocalModel
from parley_rag.embedding.remote import RemoteModel
from parley_rag.settings import Settings

# The llm-gateway may start together with this service.
_LEARNED_S = 30.0


async def embedder_for(
    settings: Settings, bus: Bus, kind: Literal["local", "llm-gateway"], *, tenant: str = "default"
) -> Embedder:
    """The embedder of `kind`, started, its name and dimensions known.

    SettingsError where the local model can't be had; TransientError `embedding_unavailable` when the llm-gateway has
    given no vector for 30 s.
    """
    if kind == "llm-gateway":
        remote = RemoteModel(bus, model=settings.embedding_model, tenant=tenant)
        await remote.start()
        await remote.learned(_LEARNED_S)
        return remote
    if settings.embed_workers_least > settings.embed_workers_most:
        raise SettingsError("PARLEY_RAG_EMBED_WORKERS_LEAST must not be more than PARLEY_RAG_EMBED_WORKERS_MOST.")
    local = LocalModel(
        settings.data / "model",
        precision=settings.precision,
        threads=settings.threads,
        least=settings.embed_workers_least,
        most=settings.embed_workers_most,
    )
    await local.start()
    return local
