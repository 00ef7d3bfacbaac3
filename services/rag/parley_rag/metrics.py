"""What /metrics shows of this service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SEARCHES = Counter("parley_rag_searches_total", "Searches by what they gave", ["mode", "outcome"])
SEARCH_SECONDS = Histogram(
    "parley_rag_search_seconds",
    "Time of a search, embedding included",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5),
)
QUERY_CACHE = Counter("parley_rag_query_cache_total", "Searches by whether their answer was remembered", ["outcome"])
QUERY_WORKERS = Gauge("parley_rag_query_workers", "Workers that search the table")
SEARCHES_WAITING = Gauge("parley_rag_searches_waiting", "Searches that wait for a worker")
DOCUMENTS = Counter("parley_rag_documents_total", "Documents ingested, by outcome", ["outcome"])
WINDOWS = Gauge("parley_rag_windows", "Windows in the table")
RESUMED = Counter("parley_rag_ingestions_resumed_total", "Ingestions that went on where another instance had stopped")
UPKEEP_SECONDS = Histogram(
    "parley_rag_upkeep_seconds",
    "Time of compaction, indexing and snapshots",
    ["task"],
    buckets=(0.01, 0.1, 1, 10, 60, 300),
)
SNAPSHOTS = Counter("parley_rag_snapshots_total", "Snapshots by outcome", ["outcome"])
