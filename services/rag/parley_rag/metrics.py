"""What /metrics shows of this service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SEARCHES = Counter("parley_rag_searches_total", "Searches by what they gave", ["mode", "outcome"])
SEARCH_SECONDS = Histogram(
    "parley_rag_search_seconds",
    "Time of a search, embedding included",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5),
)
TEXTS = Counter("parley_rag_texts_total", "Texts to embed, by where their vectors came from", ["source"])
BATCH = Histogram("parley_rag_batch_texts", "Texts encoded together", buckets=(1, 2, 4, 8, 16, 32, 64))
DOCUMENTS = Counter("parley_rag_documents_total", "Documents ingested, by outcome", ["outcome"])
WINDOWS = Gauge("parley_rag_windows", "Windows in the table")
