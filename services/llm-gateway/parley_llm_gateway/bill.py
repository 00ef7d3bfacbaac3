"""What one completion costs: reserved before, settled after, whatever its end is. Pure but for the ledger."""

from __future__ import annotations

import asyncio

import msgspec

from parley_llm_gateway import metrics
from parley_llm_gateway.budget import Reservation
from parley_llm_gateway.config import ModelConfig
from parley_llm_gateway.prices import cost
from parley_proto.llm import CompletionRequest, Finished, Usage

_CHARS_PER_TOKEN = 4


class Bill:
    """Adds up the attempts of one completion; `settle` gives back what was reserved and not used."""

    def __init__(self, reservation: Reservation) -> None:
        self._reservation = reservation
        self._spent = 0

    def attempt_finished(self, model: ModelConfig, finished: Finished) -> Finished:
        price = cost(model.price, finished.usage)
        self._add(model, price)
        metrics.tokens_of(model.id, finished.usage)
        return msgspec.structs.replace(finished, cost=self._spent if price is not None else None)

    def attempt_failed(self, model: ModelConfig, request: CompletionRequest, chars: int, error: BaseException) -> None:
        """A call that was cancelled or broke off in mid-answer is billed too: by an estimate of what was counted."""
        if chars or isinstance(error, asyncio.CancelledError):
            prompt = prompt_chars(request) // _CHARS_PER_TOKEN
            self._add(model, cost(model.price, Usage(prompt, -(-chars // _CHARS_PER_TOKEN))))

    def settle(self) -> None:
        self._reservation.settle(self._spent)
        metrics.settled.inc()

    def _add(self, model: ModelConfig, price: int | None) -> None:
        self._spent += price or 0
        if price:
            metrics.cost.labels(model.id).inc(price)


def prompt_chars(request: CompletionRequest) -> int:
    """Characters of the prompt, the arguments of its tool calls included."""
    return sum(
        len(message.content) + sum(len(call.arguments) for call in message.tool_calls) for message in request.messages
    )
