"""A provider's statuses and error bodies as our errors: what to retry, whom to blame, what to show. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from parley_llm_gateway.config import ProviderConfig
from parley_llm_gateway.errors import KeyRefused, ProviderBusy, ProviderFailed, ProviderRefused
from parley_llm_gateway.wire import Problem, read_problem
from parley_proto.errors import ParleyError

_RETRY_STATUSES = {408, 409, 425}
_CODES = (
    ("context_length", "The conversation is too long for the model.", "context_length"),
    ("content_filter", "The model provider's content filter refused the conversation.", "content_filter"),
    ("content_policy", "The model provider's content filter refused the conversation.", "content_filter"),
    ("model_not_found", "The model provider does not know this model.", "unknown_model"),
)
_SECRET = re.compile(r"\b(?:sk|key|Bearer)[-_ ][A-Za-z0-9*._-]{6,}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
_MAX_SHOWN = 200
_MAX_RETRY_AFTER = 3600.0


def from_status(status: int, headers: Mapping[str, str], body: bytes, provider: ProviderConfig) -> ParleyError:
    """The error behind a status that is not 200."""
    problem = _problem(body)
    if status in (429, 529):
        return _busy(problem, headers)
    if status in (401, 403):
        variable = provider.api_key_env or "PARLEY_LLM_GATEWAY_API_KEY"
        return KeyRefused(f"The model provider {provider.name} refuses our key ({status}): correct {variable}.")
    if status >= 500 or status in _RETRY_STATUSES:
        message = f"The model provider failed ({status})."
        return ProviderFailed(message, code="provider_error", retry_after=retry_after(headers))
    if status == 404 and "not_found" in problem.code:
        return ProviderRefused("The model provider does not know this model.", code="unknown_model")
    return _refused(problem, f"{status}")


def from_error(error: Any) -> ParleyError:
    """The error behind an `error` inside a 200: such a stream failed, whatever its status says."""
    problem = read_problem(error)
    if any(mark in problem.code for mark, _, _ in _CODES) or problem.code.startswith("invalid_"):
        return _refused(problem, problem.code)
    if "rate_limit" in problem.code or problem.code in ("429", "overloaded_error"):
        return ProviderBusy("The model provider is out of capacity for us just now.")
    return ProviderFailed("The model provider reported an error inside its answer.", code="provider_error")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of `Retry-After` (or `retry-after-ms`); a date counts too; None for none or nonsense."""
    for name, scale in (("retry-after-ms", 0.001), ("Retry-After", 1.0)):
        text = headers.get(name, "")
        try:
            seconds = float(text) * scale
        except ValueError:
            seconds = _until(text)
        if 0 <= seconds <= _MAX_RETRY_AFTER:
            return seconds
    return None


def _until(date: str) -> float:
    """Seconds to an HTTP date; -1 for what is none."""
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (TypeError, ValueError):
        return -1.0


def _busy(problem: Problem, headers: Mapping[str, str]) -> ParleyError:
    if "insufficient_quota" in problem.code:
        return KeyRefused("The model provider's quota is used up: raise it or set another key.", code="provider_quota")
    return ProviderBusy("The model provider is out of capacity for us just now.", retry_after=retry_after(headers))


def _refused(problem: Problem, reason: str) -> ProviderRefused:
    for mark, message, code in _CODES:
        if mark in problem.code:
            return ProviderRefused(message, code=code)
    shown = _SECRET.sub("(removed)", _CONTROL.sub(" ", problem.message))[:_MAX_SHOWN].strip()
    return ProviderRefused(f"The model provider refused the request ({reason}): {shown or 'it gave no reason'}")


def _problem(body: bytes) -> Problem:
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Problem()
    return read_problem(content.get("error", content)) if isinstance(content, dict) else Problem()
