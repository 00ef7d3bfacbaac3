"""Embeddings: texts of many callers in one call upstream, under the same guards as completions."""

from __future__ import annotations

import asyncio

from parley_llm_gateway import metrics
from parley_llm_gateway.domain import check_texts, seconds_left
from parley_llm_gateway.models import Models
from parley_llm_gateway.prices import cost, estimate
from parley_llm_gateway.target import Target
from parley_proto.envelope import now_ms
from parley_proto.errors import ParleyError, PermanentError, TransientError
from parley_proto.llm import Usage, VectorsReply, VectorsRequest


class Embeddings:
    """Answers one request for vectors."""

    def __init__(self, plant: Models, total_s: float) -> None:
        self._plant = plant
        self._total_s = total_s

    async def reply(self, request: VectorsRequest) -> VectorsReply:
        """PermanentError for what can't be embedded, TransientError when it took too long."""
        try:
            check_texts(request)
            allowed = seconds_left(request.deadline_at, now_ms(), self._total_s)
            if allowed <= 0:
                raise PermanentError("The deadline of the request is over.", code="deadline")
            target = self._target(request.model)
        except ParleyError as error:
            metrics.refused.labels(error.code).inc()
            raise
        return await self._embedded(request, target, allowed)

    async def _embedded(self, request: VectorsRequest, target: Target, allowed: float) -> VectorsReply:
        model = target.model
        most = estimate(model.price, sum(map(len, request.texts)), 0)
        reservation = self._plant.budgets.reserve(request.tenant, request.key, "", most)
        try:
            async with asyncio.timeout(allowed):
                vectors = await self._plant.batchers[model.id].embed(request.texts, request.dimensions)
            price = cost(model.price, Usage(vectors.prompt_tokens, 0))
            reservation.settle(price)
            metrics.tokens_of(model.id, Usage(vectors.prompt_tokens, 0))
        except TimeoutError as error:
            raise TransientError("The embeddings took too long.", code="timeout") from error
        finally:
            reservation.refund()
            metrics.settled.inc()
        return VectorsReply(model.id, vectors.dimensions, vectors.data, vectors.prompt_tokens)

    def _target(self, wanted: str) -> Target:
        name = wanted or self._plant.config.embeddings
        target = self._plant.targets.get(name)
        if target is None:
            text = "No model for embeddings is configured: set [embeddings] model." if not name else ""
            raise PermanentError(text or f"The model {name[:60]!r} is unknown here.", code="unknown_model")
        if "embeddings" not in target.model.capabilities:
            raise PermanentError(f"The model {name[:60]!r} makes no embeddings.", code="no_candidate")
        return target
