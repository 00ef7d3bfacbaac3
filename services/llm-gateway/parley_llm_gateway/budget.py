"""Who may spend how much: reserved before a call, settled after it. Atomic, since nothing here awaits."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from parley_llm_gateway.config import LimitConfig
from parley_proto.errors import PermanentError, TransientError

_CONVERSATIONS = 20_000
_SWEEP_FROM = 1_000


class OverBudget(TransientError):
    """A limit leaves no room for this call. `retry_after` is in seconds; None where the limit never ends."""

    code = "over_budget"

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _Account(msgspec.Struct):
    """Millionths spent and reserved in one window; `absorbed` were spent elsewhere."""

    spent: int = 0
    reserved: int = 0
    absorbed: int = 0

    @property
    def taken(self) -> int:
        return self.spent + self.reserved + self.absorbed


class Budgets:
    """The accounts of all limits; windows begin at multiples of their length since 1970.

    Of conversations the 20,000 that spent last are known; those of tenants and keys stay until their window is over.
    """

    def __init__(
        self, limits: Sequence[LimitConfig], clock: Callable[[], float] = time.time, previous: Budgets | None = None
    ) -> None:
        """`previous` hands its accounts over, with what is reserved on them."""
        self._limits = tuple(limits)
        self._clock = clock
        self._accounts: dict[str, _Account] = previous._accounts if previous else {}
        self._conversations: OrderedDict[str, _Account] = previous._conversations if previous else OrderedDict()
        self._sweep_from = _SWEEP_FROM

    def reserve(self, tenant: str, key: str, conversation: str, amount: int | None) -> Reservation:
        """Set `amount` aside at every limit that applies, or at none.

        OverBudget where one has no room, PermanentError `unknown_price` where a limit applies to an unknown amount.
        """
        named = {"tenant": tenant, "key": key, "conversation": f"{tenant}/{conversation}" if conversation else ""}
        held: list[_Account] = []
        for limit in self._limits:
            name = named[limit.scope]
            if not name or limit.name not in ("*", name):
                continue
            if amount is None:
                text = "A budget applies, but the model has no price: add one to it in the configuration."
                raise PermanentError(text, code="unknown_price")
            account = self._account(limit, name)
            if account.taken + amount > limit.amount:
                raise self._over(limit)
            held.append(account)
        for account in held:
            account.reserved += amount or 0
        return Reservation(held, amount or 0)

    def own(self) -> dict[str, int]:
        """What was spent here, by `scope/name/window`; conversations are too many to be told to others."""
        return {
            name: account.spent for name, account in self._accounts.items() if account.spent and not self._is_over(name)
        }

    def absorb(self, others: Mapping[str, int]) -> None:
        """Count what was spent elsewhere: by other instances, or by this one before it was started again."""
        for name, spent in others.items():
            if not self._is_over(name):
                self._accounts.setdefault(name, _Account()).absorbed = spent

    def _account(self, limit: LimitConfig, name: str) -> _Account:
        key = f"{limit.scope}/{name}/{limit.window_s}-{self._window(limit.window_s)}"
        if limit.scope == "conversation":
            account = self._conversations.setdefault(key, _Account())
            self._conversations.move_to_end(key)
            self._forget_the_oldest()
            return account
        account = self._accounts.setdefault(key, _Account())
        if len(self._accounts) >= self._sweep_from:
            self._sweep()
        return account

    def _window(self, window_s: int) -> int:
        return int(self._clock() // window_s) if window_s else 0

    def _is_over(self, key: str) -> bool:
        window_s, _, window = key.rpartition("/")[2].partition("-")
        return self._window(int(window_s)) != int(window)

    def _forget_the_oldest(self) -> None:
        """Never one with an open reservation."""
        if len(self._conversations) <= _CONVERSATIONS:
            return
        for key, account in self._conversations.items():
            if not account.reserved:
                del self._conversations[key]
                return

    def _sweep(self) -> None:
        """Forget what is over; again when there are twice as many as are left, so that it costs next to nothing."""
        over = [key for key, account in self._accounts.items() if not account.reserved and self._is_over(key)]
        for key in over:
            del self._accounts[key]
        self._sweep_from = max(_SWEEP_FROM, 2 * len(self._accounts))

    def _over(self, limit: LimitConfig) -> OverBudget:
        if not limit.window_s:
            return OverBudget(f"The budget of this {limit.scope} is used up.", None)
        now = self._clock()
        ends = (now // limit.window_s + 1) * limit.window_s
        shown = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return OverBudget(f"The budget of this {limit.scope} is used up until {shown}.", ends - now)


class Reservation:
    """What one call has set aside; the first of `settle` and `refund` counts, later ones do nothing."""

    def __init__(self, accounts: Sequence[_Account], amount: int) -> None:
        self._accounts = accounts
        self._amount = amount
        self._open = True

    def settle(self, cost: int | None) -> None:
        """The call cost `cost`; the whole reservation where nobody knows."""
        self._close(self._amount if cost is None else cost)

    def refund(self) -> None:
        self._close(0)

    def _close(self, cost: int) -> None:
        if not self._open:
            return
        self._open = False
        for account in self._accounts:
            account.reserved -= self._amount
            account.spent += cost
