"""The gateway in numbers, served at /metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SOCKETS = Gauge("parley_gateway_sockets", "WebSocket connections that are open")
STREAMS = Gauge("parley_gateway_streams", "SSE runs that are open")
MESSAGES = Counter(
    "parley_gateway_messages", "Customer messages by outcome: accepted, duplicate or the refusal", ["outcome"]
)
UNANSWERED = Gauge("parley_gateway_unanswered", "Messages accepted here, or about to be, that are not answered yet")
TURNED_DOWN = Counter(
    "parley_gateway_turned_down",
    "Messages refused for the load, by who sent them (running, waiting, new) and why (full, share, stalled, tenant)",
    ["standing", "why"],
)
DEGRADED = Gauge("parley_gateway_degraded", "1 for each part of the mesh that is missing just now", ["part"])
REFUSED = Counter("parley_gateway_frames_refused", "Frames and requests refused, by code", ["code"])
ACK_SECONDS = Histogram(
    "parley_gateway_ack_seconds",
    "From a message's arrival to its acknowledgement, so with the log's own",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
)
DELTAS = Counter("parley_gateway_deltas", "Words on their way that reached a reader")
RESUMES = Counter("parley_gateway_resumes", "Connections by how they went on: new, replayed, reset", ["kind"])
CLOSES = Counter("parley_gateway_closes", "Connections that the gateway closed, by code", ["code"])
