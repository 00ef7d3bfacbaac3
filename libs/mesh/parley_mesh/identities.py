"""Who may say what on NATS: one user per service, literal subjects (nats.md, 'Security')."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parley_mesh.topology import (
    BUDGETS_BUCKET,
    INGEST_CONSUMER,
    KEYS_BUCKET,
    LANES,
    SPECIALISTS_BUCKET,
    shard_consumer,
    turn_consumer,
)
from parley_proto import subjects

OPERATOR = "operator"
SERVICES = ("gateway", "conversation", "rag", "llm-gateway", "archiver")
_LOG = subjects.STREAM
_READ = [f"$JS.API.STREAM.MSG.GET.{_LOG}"]


def permissions(service: str, specialties: Sequence[str], shards: int = subjects.SHARDS) -> dict[str, Any]:
    """NATS permissions of one service: what it publishes and subscribes, and that it may answer requests."""
    own = _OF[service](shards) if service in _OF else _specialist(service, specialties)
    publish, subscribe = own
    return {
        "publish": sorted({*publish, subjects.health(service), *_tail(subjects.BROADCAST_STREAM, subjects.BROADCASTS)}),
        "subscribe": sorted({*subscribe, f"_INBOX_{service}.>", "$SRV.>"}),
        "allow_responses": {"max": 100_000, "expires": "10m"},
    }


def _gateway(_shards: int) -> tuple[list[str], list[str]]:
    publish = ["conv.*.*", subjects.ARCHIVE_CHECKPOINT, *_READ, *_tail(_LOG, subjects.ALL_OUT)]
    return publish, ["live.*", subjects.ALL_HEALTH]


def _conversation(shards: int) -> tuple[list[str], list[str]]:
    """Its one entry in the log is the summary of a conversation: what it could forge there it may decide anyway."""
    names = [shard_consumer(shard) for shard in range(shards)]
    publish = [
        "conv.*.*",
        f"$KV.{subjects.BUCKET}.*",
        "turn.*.*.*",
        "out.*",
        "step.*.*",
        "due.*",
        "dead.*",
        subjects.PEERS,
        subjects.RAG_EMBED,
        subjects.ARCHIVE_CHECKPOINT,
        "llm.complete.*",
        "llm.cancel.*",
        "llm.renew.*",
        *_READ,
        *_bucket_tail(SPECIALISTS_BUCKET),
    ]
    for name in names:
        publish += [f"$JS.API.CONSUMER.{api}.{_LOG}.{name}" for api in ("UNPIN", "INFO")] + _pull(_LOG, name)
    return publish, [subjects.PEERS]


def _specialist(name: str, specialties: Sequence[str]) -> tuple[list[str], list[str]]:
    publish = [
        "conv.*.*",
        "live.*",
        "step.*.*",
        "effect.*",
        "consult.*.*",
        subjects.RAG_SEARCH,
        "llm.complete.*",
        "llm.cancel.*",
        "llm.renew.*",
        subjects.LLM_EMBED,
        f"$KV.{SPECIALISTS_BUCKET}.{name}",
        *_READ,
        *_bucket_tail(SPECIALISTS_BUCKET),
    ]
    publish += [subjects.turn(other, subjects.TRACK, "consult") for other in specialties if other != name]
    for lane in LANES:
        publish += _pull(_LOG, turn_consumer(name, subjects.TRACK, lane))
    return publish, [f"consult.{name}.*"]


def _rag(_shards: int) -> tuple[list[str], list[str]]:
    """Ingestions are its work; of the documents it reads all, and removes what was uploaded for a job."""
    progress, documents = f"KV_{subjects.INGESTIONS_BUCKET}", subjects.DOCUMENTS_STREAM
    publish = [
        subjects.LLM_EMBED,
        subjects.RAG_CHANGED,
        *_pull(subjects.INGEST_STREAM, INGEST_CONSUMER),
        f"$KV.{subjects.INGESTIONS_BUCKET}.*",
        *(f"$JS.API.STREAM.MSG.GET.{stream}" for stream in (progress, documents)),
        *(f"$JS.API.STREAM.{api}.{documents}" for api in ("INFO", "PURGE")),
    ]
    asked = [subjects.RAG_SEARCH, subjects.RAG_EMBED, subjects.RAG_INGEST, subjects.RAG_TABLE]
    return publish, [*asked, subjects.RAG_CHANGED]


def _llm(_shards: int) -> tuple[list[str], list[str]]:
    publish = [f"$KV.{BUDGETS_BUCKET}.*", *_bucket_tail(BUDGETS_BUCKET)]
    return publish, ["llm.complete.*", "llm.cancel.*", "llm.renew.*", subjects.LLM_EMBED]


def _archiver(_shards: int) -> tuple[list[str], list[str]]:
    """It takes archived conversations out of the log: checkpoints give way to markers, entries are purged.

    The server can't bound a purge to a filter, which stands in the request's body. The bounded way, a roll-up on each
    subject, would need the right to write `conv` and `out`: whoever may purge can destroy what the archive holds
    anyway, whoever may write there could speak for customers and specialists. So the one purge of
    `parley_archiver.trimming` always names a filter and a last sequence.
    """
    publish = [
        *_pull(_LOG, "archiver"),
        f"$JS.API.STREAM.INFO.{_LOG}",
        f"$JS.API.CONSUMER.INFO.{_LOG}.*",
        *_READ,
        f"$KV.{subjects.BUCKET}.*",
        f"$JS.API.STREAM.PURGE.{_LOG}",
        f"$KV.{KEYS_BUCKET}.*",
        f"$JS.API.STREAM.MSG.GET.KV_{KEYS_BUCKET}",
    ]
    return publish, [subjects.ARCHIVE_TRANSCRIPT, subjects.ARCHIVE_CHECKPOINT, subjects.ARCHIVE_RETIRE]


_OF = {
    "gateway": _gateway,
    "conversation": _conversation,
    "rag": _rag,
    "llm-gateway": _llm,
    "archiver": _archiver,
}


def _pull(stream: str, consumer: str) -> list[str]:
    return [f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", f"$JS.ACK.{stream}.{consumer}.>"]


def _tail(stream: str, subject: str) -> list[str]:
    """May make an ephemeral consumer, but only with this filter."""
    return [f"$JS.API.CONSUMER.CREATE.{stream}.*.{subject}"]


def _bucket_tail(bucket: str) -> list[str]:
    return _tail(f"KV_{bucket}", f"$KV.{bucket}.>")
