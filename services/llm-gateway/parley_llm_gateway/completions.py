"""A completion from request to end: the one path for NATS and HTTP alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable

import msgspec

from parley_llm_gateway import genai, metrics
from parley_llm_gateway.attempts import Also, Attempts
from parley_llm_gateway.bill import Bill, prompt_chars
from parley_llm_gateway.budget import Reservation
from parley_llm_gateway.cache import key_of
from parley_llm_gateway.domain import check, seconds_left
from parley_llm_gateway.embeddings import Embeddings
from parley_llm_gateway.flights import Flight, Flights
from parley_llm_gateway.models import Models
from parley_llm_gateway.outbox import Outbox
from parley_llm_gateway.running import End, Running
from parley_llm_gateway.target import Target
from parley_mesh.telemetry import log
from parley_proto.envelope import now_ms
from parley_proto.errors import ParleyError, TransientError
from parley_proto.llm import (
    CompletionEvent,
    CompletionRequest,
    Failed,
    Finished,
    StreamReset,
    TextDelta,
    ToolCalled,
    VectorsReply,
    VectorsRequest,
)


class Bounds(msgspec.Struct, frozen=True):
    """At most `running` completions at once, none longer than `total_s` seconds."""

    running: int
    total_s: float


class Completions:
    """Answers requests with events. `plant` may be replaced while it runs: what is under way keeps the old one."""

    def __init__(self, plant: Models, bounds: Bounds) -> None:
        self.plant = plant
        self._bounds = bounds
        self._flights = Flights()
        self.running = Running()

    @property
    def models(self) -> list[str]:
        """What callers may ask for, the standard tier's first."""
        first = [candidate.model for candidate in self.plant.config.tiers["standard"].candidates]
        return list(dict.fromkeys([*first, *self.plant.config.models]))

    @property
    def tiers(self) -> list[str]:
        return list(self.plant.config.tiers)

    def out_of_order(self) -> str:
        """Why no completion of the standard tier can succeed; empty when nothing is known against it."""
        targets = [self.plant.targets[c.model] for c in self.plant.config.tiers["standard"].candidates]
        reasons = [target.breaker.key_refused for target in targets]
        return reasons[0] if all(reasons) else ""

    def breakers(self) -> dict[str, str]:
        return {name: target.breaker.state for name, target in self.plant.targets.items()}

    async def vectors(self, request: VectorsRequest) -> VectorsReply:
        """Embeddings; raises as `events` does."""
        return await Embeddings(self.plant, self._bounds.total_s).reply(request)

    async def events(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent, None]:
        """Alive at once and in silence, then the answer, then exactly one Finished or Failed.

        Raises PermanentError for a request that no provider should see, TransientError when there are too many.
        Closing the generator closes the provider's socket.
        """
        outbox = Outbox(request.request_id)
        work = self._accept(request, outbox)
        run = self.running.begin(request, work.run(), outbox)
        try:
            while not outbox.over:
                for event in await outbox.take():
                    yield event
        finally:
            self.running.leave(run)
            try:
                await run.stop()
            finally:
                work.close()

    def _accept(self, request: CompletionRequest, outbox: Outbox) -> _Work:
        try:
            check(request, self.models, self.tiers)
            allowed = seconds_left(request.deadline_at, now_ms(), self._bounds.total_s)
            if len(self.running) >= self._bounds.running:
                raise TransientError("The llm-gateway has as many completions as it takes.", code="overloaded")
            targets = self.plant.plan(request)
            bill = Bill(self._reserve(request, targets)) if allowed > 0 else None
        except ParleyError as error:
            metrics.refused.labels(error.code).inc()
            raise
        return _Work(self.plant, self._flights, request, targets, outbox, bill, allowed, self._bounds.total_s)

    def _reserve(self, request: CompletionRequest, targets: list[Target]) -> Reservation:
        most = self.plant.most_it_may_cost(targets, prompt_chars(request), request.max_tokens)
        return self.plant.budgets.reserve(request.tenant, request.key, request.conversation, most)


class _Work:
    """One completion: its pieces go to the outbox, its end is the result of `run`."""

    def __init__(
        self,
        plant: Models,
        flights: Flights,
        request: CompletionRequest,
        targets: list[Target],
        outbox: Outbox,
        bill: Bill | None,
        allowed: float,
        total_s: float,
    ) -> None:
        self._plant = plant
        self._flights = flights
        self._request = request
        self._targets = targets
        self._outbox = outbox
        self._bill = bill
        self._allowed = allowed
        self._late = _late(allowed < total_s)
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()
        self._model = targets[0].model.id

    async def run(self) -> End:
        code = genai.CANCELLED
        try:
            with genai.completion_span(self._request):
                end = await self._answer_in_time()
            code = end.code if isinstance(end, Failed) else ""
            return end
        finally:
            metrics.duration.labels(self._model, code).observe(self._clock() - self._start)

    def close(self) -> None:
        """Settle: also what was cancelled before its first step."""
        if self._bill:
            self._bill.settle()
            self._bill = None

    async def _answer_in_time(self) -> End:
        if self._bill is None:
            return self._late
        try:
            async with asyncio.timeout(self._allowed):
                return await self._answer(self._bill)
        except TimeoutError:
            return self._failed(self._late)
        except ParleyError as error:
            after = getattr(error, "retry_after", None)
            return self._failed(Failed(error.code, error.message, isinstance(error, TransientError), False, after))
        except Exception:
            log("parley.llm").exception("completion failed", extra={"request": self._request.request_id})
            return self._failed(Failed("internal", "The llm-gateway failed on this request.", False))

    async def _answer(self, bill: Bill) -> Finished:
        key = key_of(self._request, self._model)
        if key is None:
            return await self._ask(bill, None)
        kept = self._plant.cache.get(key)
        if kept:
            metrics.cache.labels("hit").inc()
            return self._replay(kept)
        return await self._fly(key, bill)

    async def _fly(self, key: str, bill: Bill) -> Finished:
        """Together with the same request of somebody else, if one is under way."""
        flight = self._flights.join(key)
        metrics.cache.labels("miss" if flight.leads else "joined").inc()
        if not flight.leads:
            return await self._follow(key, flight, bill)
        return await self._lead(key, flight, bill)

    async def _lead(self, key: str, flight: Flight, bill: Bill) -> Finished:
        said: list[str] = []

        def also(event: TextDelta | ToolCalled | StreamReset) -> None:
            said.append(event.text) if isinstance(event, TextDelta) else said.clear()
            flight.publish(event)

        try:
            finished = await self._ask(bill, also)
        except ParleyError as error:
            flight.publish(Failed(error.code, error.message, isinstance(error, TransientError), bool(said)))
            raise
        else:
            flight.publish(finished)
            if finished.reason == "stop":
                self._plant.cache.put(key, (TextDelta("".join(said)), finished))
            return finished
        finally:
            flight.close()

    async def _follow(self, key: str, flight: Flight, bill: Bill) -> Finished:
        """What the leader hears; its failure after words is ours, before them or where it left we go on alone."""
        async for event in flight.events():
            if isinstance(event, TextDelta | ToolCalled):
                self._outbox.add(event)
            elif isinstance(event, StreamReset):
                self._outbox.reset(event)
            elif isinstance(event, Finished):
                return msgspec.structs.replace(event, cost=0, cached=True)
            elif isinstance(event, Failed) and self._outbox.chars:
                raise TransientError(event.message, code=event.code)
        if self._outbox.chars:
            self._outbox.reset(StreamReset(2, "leader_left"))
        return await self._ask(bill, None)

    async def _ask(self, bill: Bill, also: Also | None) -> Finished:
        attempts = Attempts(
            self._request, self._targets, self._plant.retries, self._outbox, bill, self._left, also, self._noted
        )
        return await attempts.run()

    def _noted(self, target: Target) -> None:
        """`target` gave the answer."""
        if target is not self._targets[0]:
            metrics.fallbacks.labels(target.model.id).inc()
        self._model = target.model.id
        self._plant.remember(self._request, target)

    def _replay(self, events: Iterable[CompletionEvent]) -> Finished:
        for event in events:
            if isinstance(event, Finished):
                return msgspec.structs.replace(event, cost=0, cached=True)
            if isinstance(event, TextDelta | ToolCalled):
                self._outbox.add(event)
        raise TransientError("The cached answer has no end.", code="internal")

    def _failed(self, failed: Failed) -> Failed:
        return msgspec.structs.replace(failed, partial=self._outbox.told)

    def _left(self) -> float:
        return self._start + self._allowed - self._clock()


def _late(by_deadline: bool) -> Failed:
    if by_deadline:
        return Failed("deadline", "The deadline of the completion is over.", False)
    return Failed("timeout", "The completion took longer than the llm-gateway allows.", True)
