"""What the archiver counts, served at /metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ROWS = Counter("parley_archiver_rows", "Messages written to the archive")
REPEATED = Counter("parley_archiver_repeated", "Messages delivered again that the archive already had")
BATCHES = Counter("parley_archiver_batches", "Batches committed")
FAILURES = Counter("parley_archiver_failures", "Attempts at a batch that failed", ["code"])
UNATTRIBUTED = Counter("parley_archiver_unattributed", "Messages archived under a tenant's own key: no customer known")
RETIRED = Counter("parley_archiver_retired", "Conversations taken out of the log")
RECALLED = Counter("parley_archiver_recalled", "Checkpoints given back to the mesh")
DAMAGED = Counter("parley_archiver_damaged", "Archived rows that no longer fit their digest or their key")
LAG = Gauge("parley_archiver_lag", "Messages of the log that are not archived yet; NaN until it is known")
COMMIT = Histogram("parley_archiver_commit_seconds", "Time to write one batch")

# Nothing is known before the first look: 0 would read as "caught up".
LAG.set(float("nan"))
