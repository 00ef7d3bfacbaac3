"""How a provider fails, as errors of the mesh: what to retry, what the breaker counts."""

from __future__ import annotations

from parley_proto.errors import PermanentError, TransientError


class ProviderFailed(TransientError):
    """The provider let us down: another try may help, and the breaker counts it.

    `retry_after` is the provider's own wish, in seconds.
    """

    code = "provider_failed"

    def __init__(self, message: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class ProviderBusy(ProviderFailed):
    """429: we ask too much. It says nothing about the provider's health, so the breaker does not count it."""

    code = "rate_limited"


class ProviderRefused(PermanentError):
    """The provider understood and said no: asking the same again can't help, and nobody is broken."""

    code = "provider_refused"


class KeyRefused(PermanentError):
    """401 or 403: every call with this key will fail until an operator changes it."""

    code = "provider_key_refused"


class BreakerOpen(TransientError):
    """Too many calls failed lately: the provider is given a rest."""

    code = "provider_resting"


def counts(error: BaseException) -> bool:
    """True for what the breaker counts: not cancels, refusals, or rate limits."""
    return isinstance(error, ProviderFailed | KeyRefused) and not isinstance(error, ProviderBusy)
