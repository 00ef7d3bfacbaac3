"""A completion from request to end: the one path for NATS and HTTP alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import msgspec

from parley_llm_gateway import genai, metrics
from parley_llm_gateway.attempts import Attempts
from parley_llm_gateway.domain import check, seconds_left
from parley_llm_gateway.pacing import paced
from parley_llm_gateway.running import End, Queue, Running
from parley_mesh.telemetry import log
from parley_proto.envelope import now_ms
from parley_proto.errors import ParleyError, TransientError
from parley_proto.llm import CompletionEvent, CompletionRequest, Failed, Finished


class Bounds(msgspec.Struct, frozen=True):
    """At most `running` completions at once, none longer than `total_s` seconds."""

    running: int
    total_s: float


class Completions:
    """Answers requests with events. `routes` maps each model to its provider, the default first."""

    def __init__(self, routes: Mapping[str, Attempts], bounds: Bounds) -> None:
        self._routes = routes
        self._default = next(iter(routes))
        self._bounds = bounds
        self.running = Running()

    @property
    def models(self) -> list[str]:
        """What callers may ask for, the default first."""
        return list(self._routes)

    def key_refused(self) -> str:
        """Why no completion of the default model can succeed; empty when nothing is known against it."""
        return self._routes[self._default].breaker.key_refused

    def breakers(self) -> dict[str, str]:
        return {model: attempts.breaker.state for model, attempts in self._routes.items()}

    async def events(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent, None]:
        """Alive at once and in silence, then the answer, then exactly one Finished or Failed.

        Raises PermanentError for a request that no provider should see, TransientError when there are too many.
        Closing the generator closes the provider's socket.
        """
        self._accept(request)
        queue: Queue = asyncio.Queue()
        work = _Work(self._routes[request.model or self._default], request, queue, self._bounds.total_s)
        run = self.running.begin(request.request_id, work.run(), queue)
        try:
            async with aclosing(paced(request.request_id, queue)) as events:
                async for event in events:
                    yield event
        finally:
            self.running.leave(request.request_id, run)
            await run.stop()

    def _accept(self, request: CompletionRequest) -> None:
        try:
            check(request, self._routes)
            if len(self.running) >= self._bounds.running:
                raise TransientError("The llm-gateway has as many completions as it takes.", code="overloaded")
        except ParleyError as error:
            metrics.refused.labels(error.code).inc()
            raise


class _Work:
    """One completion: its pieces go to `queue`, its end is the result of `run`."""

    def __init__(self, attempts: Attempts, request: CompletionRequest, queue: Queue, total_s: float) -> None:
        self._attempts = attempts
        self._request = request
        self._queue = queue
        self._allowed = seconds_left(request.deadline_at, now_ms(), total_s)
        self._late = _late(self._allowed < total_s)
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()
        self._begun = False

    async def run(self) -> End:
        code = genai.CANCELLED
        try:
            with genai.completion_span(self._request):
                end = await self._answer_in_time()
            code = end.code if isinstance(end, Failed) else ""
        finally:
            metrics.duration.labels(self._attempts.model, code).observe(self._clock() - self._start)
        return end

    async def _answer_in_time(self) -> End:
        if self._allowed <= 0:
            return self._late
        try:
            async with asyncio.timeout(self._allowed):
                return await self._answer()
        except TimeoutError:
            return self._late
        except ParleyError as error:
            return Failed(error.code, error.message, isinstance(error, TransientError))
        except Exception:
            log("parley.llm").exception("completion failed", extra={"request": self._request.request_id})
            return Failed("internal", "The llm-gateway failed on this request.", False)

    async def _answer(self) -> End:
        end: End = Failed("internal", "The provider's answer has no end.", True)
        async with aclosing(self._attempts.stream(self._request, self._left)) as pieces:
            async for piece in pieces:
                self._note_begin()
                if isinstance(piece, Finished):
                    end = piece
                    self._count(piece)
                else:
                    self._queue.put_nowait(piece)
        return end

    def _left(self) -> float:
        return self._start + self._allowed - self._clock()

    def _note_begin(self) -> None:
        if not self._begun:
            self._begun = True
            metrics.first_token.labels(self._attempts.model).observe(self._clock() - self._start)

    def _count(self, finished: Finished) -> None:
        metrics.tokens.labels(self._attempts.model, "input").observe(finished.usage.prompt_tokens)
        metrics.tokens.labels(self._attempts.model, "output").observe(finished.usage.completion_tokens)


def _late(by_deadline: bool) -> Failed:
    if by_deadline:
        return Failed("deadline", "The deadline of the completion is over.", False)
    return Failed("timeout", "The completion took longer than the llm-gateway allows.", True)
