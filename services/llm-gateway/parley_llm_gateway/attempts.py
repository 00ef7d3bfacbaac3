"""One completion over its candidates: retries and fallbacks in this one layer, at most two attempts a target."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from parley_llm_gateway import metrics
from parley_llm_gateway.bill import Bill
from parley_llm_gateway.errors import BreakerOpen, KeyRefused, ProviderBusy, ProviderFailed, ProviderRefused
from parley_llm_gateway.outbox import Outbox
from parley_llm_gateway.retry_budget import RetryBudget
from parley_llm_gateway.target import SILENCE, Target, entered
from parley_proto.errors import ParleyError
from parley_proto.llm import CompletionRequest, Finished, StreamReset, TextDelta, ToolCalled

Also = Callable[[TextDelta | ToolCalled | StreamReset], None]
PER_TARGET = 2
# What would come out the same once more.
_NEVER_AGAIN = ("overloaded", "answer_too_long")
_MIN_LEFT_S = 0.2
# Longer than that, the next candidate is asked instead of waiting for this one.
_SHORT_WAIT_S = 1.0
_backoff = wait_random_exponential(multiplier=0.2, max=2.0)


class Attempts:
    """Asks the targets of one request in order. What it emits goes to `outbox` and to `also`."""

    def __init__(
        self,
        request: CompletionRequest,
        targets: Sequence[Target],
        budget: RetryBudget,
        outbox: Outbox,
        bill: Bill,
        left: Callable[[], float],
        also: Also | None,
        answered: Callable[[Target], None],
    ) -> None:
        self._request = request
        self._targets = targets
        self._budget = budget
        self._outbox = outbox
        self._bill = bill
        self._left = left
        self._also = also
        self._answered = answered
        self._number = 0
        self._said = 0
        self._first_error: ParleyError | None = None

    async def run(self) -> Finished:
        """The end of the first answer that came to one. Raises the first failure, which later ones must not hide."""
        for place, target in enumerate(self._targets):
            try:
                return await self._on(target, self._targets[place + 1 :])
            except ParleyError as error:
                # What an attempt met says more than a breaker that only remembers it.
                if self._first_error is None or isinstance(self._first_error, BreakerOpen):
                    self._first_error = error
                if not self._goes_on(error, target, self._targets[place + 1 :]):
                    break
        return await self._least_bad()

    async def _least_bad(self) -> Finished:
        """Where every candidate rests, the first is tried once after all."""
        error = self._first_error
        if isinstance(error, BreakerOpen) and len(self._targets) > 1 and not self._number:
            return await self._attempt(self._targets[0], force=True)
        raise error or BreakerOpen("No model provider can be asked just now.")

    async def _on(self, target: Target, others: Sequence[Target]) -> Finished:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(PER_TARGET),
            wait=_wait,
            retry=retry_if_exception(lambda error: self._worth_another(error, target, others)),
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await self._attempt(target, spill=bool(others))
        raise AssertionError("tenacity ends with a result or an error")

    async def _attempt(self, target: Target, *, spill: bool = False, force: bool = False) -> Finished:
        if not target.breaker.admits and not force:
            # Before a place is taken in its queue.
            with target.breaker.admit():
                pass
        slot = target.limiter.try_enter() if spill else await entered(target, self._request.tenant, self._left())
        if slot is None:
            raise ProviderBusy("The model provider has as many calls of ours as it takes.", code="overloaded")
        self._number += 1
        self._begin_again()
        self._budget.called()
        before = self._outbox.chars
        try:
            finished = await target.complete(self._request, self._emit, self._number, slot, force)
        except BaseException as error:
            self._bill.attempt_failed(target.model, self._request, self._outbox.chars - before, error)
            raise
        self._answered(target)
        return self._bill.attempt_finished(target.model, finished)

    def _emit(self, piece: TextDelta | ToolCalled) -> None:
        self._said += 1
        self._outbox.add(piece)
        if self._also:
            self._also(piece)

    def _begin_again(self) -> None:
        """Nothing is ever spliced: whoever heard words of an earlier attempt is told that they are void."""
        if self._said:
            self._said = 0
            reset = StreamReset(self._number, self._first_error.code if self._first_error else "retry")
            self._outbox.reset(reset)
            if self._also:
                self._also(reset)
            metrics.resets.inc()

    def _goes_on(self, error: ParleyError, failed: Target, others: Sequence[Target]) -> bool:
        """Whether the next candidate may be asked after `error`."""
        if not others or self._outbox.called or self._left() < _MIN_LEFT_S:
            return False
        if isinstance(error, ProviderRefused):
            larger = others[0].model.context > failed.model.context > 0 or others[0].model.context == 0
            return error.code == "unknown_model" or (error.code == "context_length" and larger)
        return isinstance(error, ProviderFailed | KeyRefused | BreakerOpen) or error.code == "overloaded"

    def _worth_another(self, error: BaseException, target: Target, others: Sequence[Target]) -> bool:
        """Whether the same target may be asked again: a silent one may not, and not past the retry budget."""
        if not isinstance(error, ProviderFailed) or error.code in _NEVER_AGAIN or self._outbox.called:
            return False
        if (error.code in SILENCE and others) or not target.breaker.admits:
            return False
        pause = error.retry_after or 0.0
        if pause + _MIN_LEFT_S > self._left() or (others and pause > _SHORT_WAIT_S):
            return False
        self._first_error = self._first_error or error
        allowed = self._budget.allow()
        target.seen.retry("again" if allowed else "no_budget")
        return allowed


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ProviderFailed) and error.retry_after is not None:
        return error.retry_after
    return _backoff(state)
