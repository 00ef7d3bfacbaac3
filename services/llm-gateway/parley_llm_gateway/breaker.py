"""When to leave a provider alone: a sliding window around aiobreaker's states, one probe at a time.

aiobreaker alone counts only failures in a row, lets every caller through when half open, and sees a stream as
done when it begins. Here the outcome counts at the end of the stream.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

import msgspec
from aiobreaker import CircuitBreaker, CircuitBreakerListener, CircuitBreakerState
from aiobreaker.storage.memory import CircuitMemoryStorage

from parley_llm_gateway.errors import BreakerOpen, KeyRefused, ProviderFailed, counts
from parley_proto.errors import ParleyError

OPEN, HALF_OPEN, CLOSED = CircuitBreakerState.OPEN, CircuitBreakerState.HALF_OPEN, CircuitBreakerState.CLOSED

_MOST = 1000


class Rules(msgspec.Struct, frozen=True):
    """Opens when at least `share` of at least `calls` calls within `window_s` failed.

    The rest that follows doubles from `rest_s` up to `longest_s`, give or take `jitter`.
    """

    calls: int = 20
    share: float = 0.5
    window_s: float = 60.0
    rest_s: float = 5.0
    longest_s: float = 60.0
    jitter: float = 0.2


class Breaker:
    """One provider's breaker for one model. Use `with breaker.admit() as call`; leaving it records the outcome."""

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        changed: Callable[[str], None] = lambda state: None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._rules = rules or Rules()
        self._clock = clock
        self._chance = chance
        self._storage = CircuitMemoryStorage(CLOSED)
        self._states = CircuitBreaker(state_storage=self._storage, listeners=[_Told(changed)])
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._reopens_at = 0.0
        self._opened = 0
        self._probing = False
        self._cause: ParleyError | None = None

    @property
    def state(self) -> str:
        """`closed`, `open` or `half_open`."""
        return str(self._storage.state.name).lower()

    @property
    def key_refused(self) -> str:
        """The sentence of a provider that refuses our key; empty otherwise."""
        return self._cause.message if isinstance(self._cause, KeyRefused) else ""

    @property
    def admits(self) -> bool:
        """True where a call would be let through now."""
        if self._storage.state is OPEN:
            return self._clock() >= self._reopens_at
        return self._storage.state is CLOSED or not self._probing

    def admit(self, force: bool = False) -> Admission:
        """Leave for one call. Raises BreakerOpen, or KeyRefused while the key is known to be wrong.

        `force` probes before the rest is over: for the least bad of several that all rest.
        """
        forced = force and not isinstance(self._cause, KeyRefused)
        if self._storage.state is OPEN and (forced or self._clock() >= self._reopens_at):
            self._move(HALF_OPEN)
        if self._storage.state is OPEN or (self._storage.state is HALF_OPEN and self._probing):
            raise self._refusal()
        probe = self._storage.state is HALF_OPEN
        self._probing = self._probing or probe
        return Admission(self, probe)

    def settle(self, probe: bool, error: BaseException | None) -> None:
        """Record how a call ended; None is a success. Cancels and refusals are neither success nor failure."""
        if probe:
            self._probing = False
        failure = error if isinstance(error, ProviderFailed | KeyRefused) and counts(error) else None
        if error is not None and failure is None:
            return
        if failure and (probe or isinstance(failure, KeyRefused)):
            self._open(failure)
        elif probe:
            self._close()
        elif self._storage.state is CLOSED:
            self._count(failure)

    def _count(self, error: ParleyError | None) -> None:
        now = self._clock()
        self._outcomes.append((now, error is not None))
        self._failed += error is not None
        while self._outcomes[0][0] < now - self._rules.window_s or len(self._outcomes) > _MOST:
            self._failed -= self._outcomes.popleft()[1]
        if len(self._outcomes) >= self._rules.calls and self._failed >= self._rules.share * len(self._outcomes):
            self._open(error)

    def _open(self, cause: ParleyError | None) -> None:
        rest = min(self._rules.rest_s * 2**self._opened, self._rules.longest_s)
        spread = self._rules.jitter * (2 * self._chance() - 1)
        self._reopens_at = self._clock() + rest * (1 + spread)
        self._opened = min(self._opened + 1, 16)
        self._cause = cause
        self._outcomes.clear()
        self._failed = 0
        self._move(OPEN)

    def _close(self) -> None:
        self._opened, self._cause = 0, None
        self._outcomes.clear()
        self._failed = 0
        self._move(CLOSED)

    def _move(self, state: CircuitBreakerState) -> None:
        self._storage.state = state
        # Reading the state is how aiobreaker notices a change of its storage and tells the listeners.
        self._noticed = self._states.state

    def _refusal(self) -> ParleyError:
        if isinstance(self._cause, KeyRefused):
            return KeyRefused(self._cause.message, code=self._cause.code)
        seconds = max(1, round(self._reopens_at - self._clock()))
        return BreakerOpen(f"The model provider failed too often; it is tried again in {seconds} s.")


class Admission:
    """One admitted call, as a context manager: its outcome is recorded once, whatever ends it."""

    def __init__(self, breaker: Breaker, probe: bool) -> None:
        self._breaker = breaker
        self._probe = probe

    def __enter__(self) -> Admission:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._breaker.settle(self._probe, error)


class _Told(CircuitBreakerListener):  # type: ignore[misc]
    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed

    def state_change(self, breaker: CircuitBreaker, old: object, new: object) -> None:
        self._changed(str(breaker.current_state.name).lower())
