"""What /metrics shows of embeddings."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

TEXTS = Counter("parley_rag_embedding_texts_total", "Texts to embed, by where their vectors came from", ["layer"])
BATCH = Histogram("parley_rag_embedding_batch_texts", "Texts encoded together", buckets=(1, 2, 4, 8, 16, 32, 64))
ENCODE_SECONDS = Histogram(
    "parley_rag_embedding_encode_seconds",
    "Time of a batch, the way to its worker and back included",
    ["model"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
WAITING = Gauge("parley_rag_embedding_waiting_texts", "Texts that wait for a worker", ["model"])
WORKERS = Gauge("parley_rag_embedding_workers", "Workers that encode", ["model"])
LOST = Counter(
    "parley_rag_embedding_workers_lost_total", "Workers that ended by themselves and were replaced", ["model"]
)
REFUSED = Counter("parley_rag_embedding_refused_total", "Requests refused because too many texts waited", ["model"])
DISK_FAILURES = Counter("parley_rag_embedding_disk_failures_total", "Times that the cache on disk failed")
DISK_BYTES = Gauge("parley_rag_embedding_disk_bytes", "Size of the cache on disk")
