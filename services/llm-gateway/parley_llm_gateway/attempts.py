"""One completion against one provider: a second attempt only before the first piece, never after it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from parley_llm_gateway import genai, metrics
from parley_llm_gateway.adapters import Piece, Provider
from parley_llm_gateway.breaker import Breaker, Rules
from parley_llm_gateway.errors import ProviderFailed
from parley_proto.errors import ParleyError
from parley_proto.llm import CompletionRequest, Finished

_OPENNESS = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
_MIN_REMAINING_S = 0.2
_backoff = wait_random_exponential(multiplier=0.2, max=2.0)


class Attempts:
    """Calls `provider` for one of its models, guarded by a breaker of its own."""

    def __init__(self, provider: Provider, model: str, limit: int = 2, rules: Rules | None = None) -> None:
        self.model = model
        self._provider = provider
        self._limit = limit
        openness = metrics.breaker.labels(model)
        self.breaker = Breaker(rules, changed=lambda state: openness.set(_OPENNESS[state]))

    async def stream(self, request: CompletionRequest, remaining: Callable[[], float]) -> AsyncGenerator[Piece, None]:
        """The pieces of the answer, `Finished` last. `remaining()` is the time left, in seconds.

        Raises what the last attempt raised. Once a piece is out, a failure is final: nothing is spliced.
        """
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._limit),
            wait=_wait,
            retry=retry_if_exception(lambda error: self._worth_another(error, remaining())),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                pieces = self._attempt(request, attempt.retry_state.attempt_number)
                first = await anext(pieces)
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    async def _attempt(self, request: CompletionRequest, number: int) -> AsyncGenerator[Piece, None]:
        provider = self._provider
        with (
            self.breaker.admit(),
            self._counted(),
            genai.attempt_span(request, self.model, provider.name, provider.address, number) as span,
        ):
            async with aclosing(provider.stream(request, self.model)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Finished):
                        genai.record(span, piece)
                    yield piece

    @contextmanager
    def _counted(self) -> Iterator[None]:
        code = genai.CANCELLED
        try:
            yield
            code = "ok"
        except ParleyError as error:
            code = error.code
            raise
        finally:
            metrics.attempts.labels(self._provider.name, self.model, code).inc()

    def _worth_another(self, error: BaseException, remaining: float) -> bool:
        if not isinstance(error, ProviderFailed) or self.breaker.state == "open":
            return False
        return (error.retry_after or 0.0) + _MIN_REMAINING_S < remaining


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ProviderFailed) and error.retry_after is not None:
        return error.retry_after
    return _backoff(state)
