"""Every subject of the mesh, built from checked tokens in one place."""

from __future__ import annotations

import re
import zlib

from parley_proto.envelope import valid_id
from parley_proto.errors import PermanentError

BUCKET = "conversations"
STREAM = f"KV_{BUCKET}"
BROADCAST_STREAM = "broadcast"
SHARDS = 64
TRACK = "blue"

LOG_SUBJECTS = (f"$KV.{BUCKET}.>", "conv.*.*", "turn.*.*.*", "out.*", "step.*.*", "effect.*", "due.*", "dead.*")
ALL_OUT = "out.*"
ALL_DEAD = "dead.*"
BROADCASTS = "broadcast.>"
PEERS = "mesh.conversation.peers"
ALL_HEALTH = "mesh.health.*"
RAG_SEARCH = "rag.search"
RAG_EMBED = "rag.embed"
RAG_INGEST = "rag.ingest"
RAG_TABLE = "rag.table"
# Core NATS, to every instance: the table was replaced, forget what was remembered of it.
RAG_CHANGED = "rag.changed"
INGEST_STREAM = "ingest"
INGEST_JOBS = "ingest.jobs"
INGESTIONS_BUCKET = "ingestions"
DOCUMENTS_BUCKET = "documents"
DOCUMENTS_STREAM = f"OBJ_{DOCUMENTS_BUCKET}"
SPECIALISTS_STREAM = "KV_specialists"
CARDS = "$KV.specialists.>"
ARCHIVE_TRANSCRIPT = "archive.transcript"
ARCHIVE_CHECKPOINT = "archive.checkpoint"
ARCHIVE_RETIRE = "archive.retire"
LLM_EMBED = "llm.embed"

_TOKEN = re.compile(r"\A[a-z0-9][a-z0-9-]{0,62}\Z")


def _id(value: str) -> str:
    if not valid_id(value):
        raise PermanentError("The id must be 16 to 64 of A-Z a-z 0-9 _ -.", code="bad_id")
    return value


def _token(value: str) -> str:
    if not _TOKEN.match(value):
        raise PermanentError(f"{value[:40]!r} can't be part of a subject: use a-z, 0-9 and dashes.", code="bad_token")
    return value


def shard_of(conversation: str, shards: int = SHARDS) -> int:
    """Which shard owns a conversation: the same on every instance and in every version."""
    return zlib.crc32(conversation.encode()) % shards


def checkpoint(conversation: str) -> str:
    return f"$KV.{BUCKET}.{_id(conversation)}"


def conv(conversation: str, shards: int = SHARDS) -> str:
    """Where everything that happens to a conversation is logged."""
    return f"conv.{shard_of(conversation, shards)}.{_id(conversation)}"


def conv_shard(shard: int) -> str:
    return f"conv.{shard}.*"


def turn(specialty: str, track: str = TRACK, lane: str = "normal") -> str:
    return f"turn.{_token(specialty)}.{_token(track)}.{_token(lane)}"


def out(conversation: str) -> str:
    """The resume log: what the customer is shown."""
    return f"out.{_id(conversation)}"


def step(conversation: str, turn_id: str) -> str:
    return f"step.{_id(conversation)}.{_id(turn_id)}"


def effect(key: str) -> str:
    return f"effect.{_id(key)}"


def dead(dead_id: str) -> str:
    """A dead letter, until a person retries or drops it."""
    return f"dead.{_id(dead_id)}"


def due(conversation: str) -> str:
    """Holds the scheduled deadline of the open turn: one per conversation, the newest replaces the last."""
    return f"due.{_id(conversation)}"


def entries_of(conversation: str) -> tuple[str, ...]:
    """Filters of what the log holds of one conversation beside its checkpoint. Effects outlive it: none names them."""
    cid = _id(conversation)
    return f"conv.*.{cid}", f"out.{cid}", f"step.{cid}.*", f"due.{cid}"


def live(conversation: str) -> str:
    """Deltas on core NATS: never stored, dropped when nobody listens."""
    return f"live.{_id(conversation)}"


def health(service: str) -> str:
    """Where the instances of a service say on core NATS whether they are ready."""
    return f"mesh.health.{_token(service)}"


def card(specialty: str) -> str:
    return f"$KV.specialists.{_token(specialty)}"


def consult(asker: str, consult_id: str) -> str:
    """Where the asker of a consult listens for its answer, on core NATS."""
    return f"consult.{_token(asker)}.{_id(consult_id)}"


def complete(tier: str) -> str:
    return f"llm.complete.{_token(tier)}"


def ingestion(job_id: str) -> str:
    """How far an ingestion has come."""
    return f"$KV.{INGESTIONS_BUCKET}.{_id(job_id)}"


def cancel(request_or_turn: str) -> str:
    """Ends a completion, or all of a turn, at every llm-gateway."""
    return f"llm.cancel.{_id(request_or_turn)}"


def renew(request_id: str) -> str:
    """Says that somebody still waits for this completion."""
    return f"llm.renew.{_id(request_id)}"
