"""What the llm-gateway counts. Names follow OpenTelemetry's GenAI metrics where they have one.

Labels are names from the settings and stable codes: no caller can make a new series.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from parley_proto.llm import Usage

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144)

duration = Histogram(
    "gen_ai_server_request_duration_seconds",
    "Time of a completion from the request to its end; error_type is empty for a success.",
    ["model", "error_type"],
    buckets=_SECONDS,
)
first_token = Histogram(
    "gen_ai_server_time_to_first_token_seconds",
    "Time from a call to its first text or tool call.",
    ["model"],
    buckets=_SECONDS,
)
tokens = Histogram(
    "gen_ai_client_token_usage",
    "Tokens of a completion, by type (input, output).",
    ["model", "token_type"],
    buckets=_TOKENS,
)
attempts = Counter(
    "parley_llm_attempts_total", "Calls to a provider; code is ok or why it failed.", ["provider", "model", "code"]
)
retries = Counter("parley_llm_retries_total", "Second attempts: again, or no_budget.", ["provider", "model", "result"])
fallbacks = Counter("parley_llm_fallbacks_total", "Answers that another candidate than the first gave.", ["model"])
resets = Counter("parley_llm_resets_total", "Answers that began again after words had gone out.")
refused = Counter("parley_llm_refused_total", "Requests refused before any provider was called.", ["code"])
running = Gauge("parley_llm_running", "Completions under way.")
queued = Gauge("parley_llm_queued", "Completions that wait for a place at a provider.")
cancels = Counter("parley_llm_cancels_total", "Completions ended by others: why.", ["reason"])
settled = Counter("parley_llm_settled_total", "Completions whose budget was settled, whatever their end.")
cost = Counter("parley_llm_cost_micros_total", "Spent, in millionths of the price list's currency.", ["model"])
cache = Counter("parley_llm_cache_total", "Eligible requests: hit, joined (a flight under way) or miss.", ["result"])
breaker = Gauge("parley_llm_breaker_open", "0 closed, 0.5 half open, 1 open.", ["provider", "model"])
limit = Gauge("parley_llm_concurrency_limit", "Calls at once that a provider takes, as learned.", ["provider", "model"])
reloads = Counter("parley_llm_reloads_total", "Changes of the configuration file: taken or refused.", ["result"])


class Seen:
    """The series of one target, looked up once: a lookup on every call costs more than counting."""

    def __init__(self, provider: str, model: str) -> None:
        self._names = (provider, model)
        self._codes: dict[str, Counter] = {}
        self.breaker = breaker.labels(provider, model)
        self.limit = limit.labels(provider, model)
        self.first_token = first_token.labels(model)
        self.breaker.set(0)

    def attempt(self, code: str) -> None:
        counter = self._codes.get(code) or self._codes.setdefault(code, attempts.labels(*self._names, code))
        counter.inc()

    def retry(self, result: str) -> None:
        retries.labels(*self._names, result).inc()


def tokens_of(model: str, usage: Usage) -> None:
    tokens.labels(model, "input").observe(usage.prompt_tokens)
    tokens.labels(model, "output").observe(usage.completion_tokens)
