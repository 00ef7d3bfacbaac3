"""What the llm-gateway counts. Names follow OpenTelemetry's GenAI metrics where they have one.

Labels are names from the settings and stable codes: no caller can make a new series.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

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
    "Time from the request to the first text or tool call.",
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
refused = Counter("parley_llm_refused_total", "Requests refused before any provider was called.", ["code"])
running = Gauge("parley_llm_running", "Completions under way.")
breaker = Gauge("parley_llm_breaker_open", "0 closed, 0.5 half open, 1 open.", ["model"])
