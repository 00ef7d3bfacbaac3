"""The breaker opens on a share of failures, lets one probe through, and is never stuck by an abandoned call."""

from __future__ import annotations

import asyncio

import pytest

from parley_llm_gateway.breaker import Breaker, Rules
from parley_llm_gateway.errors import BreakerOpen, KeyRefused, ProviderBusy, ProviderFailed, ProviderRefused

_RULES = Rules(calls=4, share=0.5, window_s=60, rest_s=10, longest_s=40, jitter=0.2)


class _Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _breaker(time: _Time, states: list[str] | None = None) -> Breaker:
    told = (states if states is not None else []).append
    return Breaker(_RULES, changed=told, clock=time, chance=lambda: 0.5)


def _call(breaker: Breaker, error: BaseException | None = None) -> None:
    try:
        with breaker.admit():
            if error:
                raise error
    except type(error or ValueError):
        return


def _fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        _call(breaker, ProviderFailed("no"))


def test_it_opens_at_half_failed_of_enough_calls() -> None:
    breaker = _breaker(_Time())
    _call(breaker)
    _call(breaker)
    _fail(breaker, 1)
    assert breaker.state == "closed"
    _fail(breaker, 1)
    assert breaker.state == "open"
    with pytest.raises(BreakerOpen, match="10 s"):
        breaker.admit()


def test_a_success_between_failures_does_not_hide_them() -> None:
    breaker = _breaker(_Time())
    for _ in range(2):
        _fail(breaker, 1)
        _call(breaker)
    assert breaker.state == "open"


def test_old_outcomes_are_forgotten() -> None:
    time = _Time()
    breaker = _breaker(time)
    _fail(breaker, 3)
    time.now += 61
    _fail(breaker, 1)
    assert breaker.state == "closed"


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), ProviderRefused("no"), ProviderBusy("no"), GeneratorExit()]
)
def test_what_is_not_the_providers_fault_is_not_counted(error: BaseException) -> None:
    breaker = _breaker(_Time())
    for _ in range(20):
        _call(breaker, error)
    assert breaker.state == "closed"


def test_exactly_one_probe_passes_when_the_rest_is_over() -> None:
    time, states = _Time(), list[str]()
    breaker = _breaker(time, states)
    _fail(breaker, 4)
    time.now += 10
    probe = breaker.admit()
    for _ in range(100):
        with pytest.raises(BreakerOpen):
            breaker.admit()
    with probe:
        assert breaker.state == "half_open"
    assert breaker.state == "closed"
    assert states == ["open", "half_open", "closed"]


def test_an_abandoned_probe_makes_room_for_the_next() -> None:
    time = _Time()
    breaker = _breaker(time)
    _fail(breaker, 4)
    time.now += 10
    _call(breaker, asyncio.CancelledError())
    assert breaker.state == "half_open"
    _call(breaker)
    assert breaker.state == "closed"


def test_each_failed_probe_doubles_the_rest_up_to_the_longest() -> None:
    time = _Time()
    breaker = _breaker(time)
    _fail(breaker, 4)
    for rest in (10, 20, 40, 40):
        time.now += rest - 0.01
        with pytest.raises(BreakerOpen):
            breaker.admit()
        time.now += 0.01
        _fail(breaker, 1)
        assert breaker.state == "open"


def test_a_refused_key_opens_it_at_once_and_is_named_until_it_works() -> None:
    time = _Time()
    breaker = _breaker(time)
    _call(breaker, KeyRefused("Set another key."))
    assert breaker.key_refused == "Set another key."
    with pytest.raises(KeyRefused):
        breaker.admit()
    time.now += 10
    _call(breaker)
    assert (breaker.state, breaker.key_refused) == ("closed", "")


def test_a_call_that_began_before_the_opening_changes_nothing_after_it() -> None:
    time = _Time()
    breaker = _breaker(time)
    with breaker.admit():
        _fail(breaker, 4)
        assert breaker.state == "open"
    assert breaker.state == "open"
