"""Metrics of the conversation service."""

from prometheus_client import Counter, Gauge, Histogram

TRANSITIONS = Counter("parley_transitions_total", "Committed transitions", ["entry"])
REFUSED_WRITES = Counter("parley_refused_writes_total", "Writes that the log's fence refused")
IGNORED = Counter("parley_ignored_entries_total", "Entries that changed nothing", ["entry"])
DEAD_LETTERS = Counter("parley_dead_letters_total", "Entries that were set aside")
SUMMARIES = Counter("parley_summaries_total", "Summaries of long conversations that a model was asked for", ["result"])
COMMIT_SECONDS = Histogram(
    "parley_commit_seconds", "Time of an atomic commit", buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2)
)
STATES = Gauge("parley_conversations_in_memory", "Conversations whose state is in memory")
STATE_BYTES = Gauge("parley_conversation_bytes", "Estimated bytes of the states in memory")
SHARDS = Gauge("parley_shards_owned", "Shards whose pin this instance holds")
