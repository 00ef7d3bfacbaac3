"""Streams and consumers: made by the administrator's identity, never by a service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from parley_mesh.errors import CLIENT_ERRORS, from_api, from_client
from parley_mesh.wire import Wire
from parley_proto import subjects
from parley_proto.errors import ParleyError

SECOND = 1_000_000_000
GROUP = "owner"
PIN_TIMEOUT_S = 1.5
LANES = ("urgent", "normal", "consult")
SHARD_ACK_WAIT_S = 5
TURN_ACK_WAIT_S = 3
KEYS_BUCKET = "keys"
SPECIALISTS_BUCKET = "specialists"
BUDGETS_BUCKET = "budgets"
INGEST_CONSUMER = "rag"
INGEST_ACK_WAIT_S = 6
_INGESTIONS_AGE_S = 30 * 86400
# Longer than the longest window of a budget.
_BUDGETS_AGE_S = 40 * 86400
_EXISTS = {10058, 10148}
# Nobody leads yet, or not everybody has been heard of: a cluster that has just been started says so for some seconds.
_NOT_YET = {10004, 10005, 10008, 10009}
_PATIENCE_S = 60.0
_AGAIN_S = 0.3
_ANSWER_S = 5.0


class TopologySettings(msgspec.Struct, frozen=True):
    """Section `topology`. Sizes in bytes, times in seconds. One of `replicas` stands for three in a cluster."""

    replicas: int = 1
    duplicate_window_s: int = 120
    broadcast_max_age_s: int = 7 * 86400
    max_ack_pending: int = 200


def shard_consumer(shard: int) -> str:
    return f"conv-{shard}"


def turn_consumer(specialty: str, track: str, lane: str) -> str:
    return f"turn-{specialty}-{track}-{lane}"


def streams(settings: TopologySettings) -> list[dict[str, Any]]:
    """The log with its checkpoints in one stream (design.md, 'One log'), and the small ones beside it."""
    log = _bucket(subjects.BUCKET, settings) | {
        "subjects": list(subjects.LOG_SUBJECTS),
        "max_msgs_per_subject": 1_000_000,
        "max_bytes": -1,
        # The server refuses schedules beside `discard: new` (10052). A stream without limits of its own discards
        # nothing either: the store's limit (`max_file_store`) refuses new messages (10023, 10047).
        "discard": "old",
        "duplicate_window": settings.duplicate_window_s * SECOND,
        "allow_atomic": True,
        "allow_msg_schedules": True,
        "allow_msg_ttl": True,
        "max_consumers": 1000,
    }
    broadcast = _stream(subjects.BROADCAST_STREAM, [subjects.BROADCASTS], settings) | {
        "max_age": settings.broadcast_max_age_s * SECOND,
        "max_msgs": 10_000,
        "discard": "old",
    }
    budgets = _bucket(BUDGETS_BUCKET, settings) | {"max_age": _BUDGETS_AGE_S * SECOND}
    ingestions = _bucket(subjects.INGESTIONS_BUCKET, settings) | {"max_age": _INGESTIONS_AGE_S * SECOND}
    jobs = _stream(subjects.INGEST_STREAM, [subjects.INGEST_JOBS], settings) | {"retention": "workqueue"}
    buckets = [_bucket(name, settings) for name in (SPECIALISTS_BUCKET, KEYS_BUCKET)]
    return [log, broadcast, budgets, ingestions, jobs, _objects(subjects.DOCUMENTS_BUCKET, settings), *buckets]


def consumers(specialties: Sequence[str], shards: int, settings: TopologySettings) -> list[dict[str, Any]]:
    """One pinned durable a shard, one a specialty, track and lane, one for the archive."""
    pinned = [_shard(shard, settings) for shard in range(shards)]
    work = [
        _durable(turn_consumer(name, subjects.TRACK, lane), [subjects.turn(name, subjects.TRACK, lane)])
        | {"ack_wait": TURN_ACK_WAIT_S * SECOND, "max_ack_pending": 5000}
        for name in specialties
        for lane in LANES
    ]
    # No filter: one of five subjects costs the server ten times the work; the archiver leaves out what is no record.
    archiver = _durable("archiver", []) | {"ack_wait": 60 * SECOND, "max_ack_pending": 20_000}
    return [*pinned, *work, archiver]


def ingest_consumer() -> dict[str, Any]:
    """One job at a time for all instances of rag: the table has one writer."""
    return _durable(INGEST_CONSUMER, []) | {"ack_wait": INGEST_ACK_WAIT_S * SECOND, "max_ack_pending": 1}


async def apply(
    client: Wire,
    specialties: Sequence[str],
    *,
    shards: int = subjects.SHARDS,
    settings: TopologySettings | None = None,
    patience_s: float = _PATIENCE_S,
) -> None:
    """Create or update everything; repeatable. Returns when each stream has a leader.

    ParleyError says what the server refused, or what kept it from answering for `patience_s` seconds.
    """
    settings = settings or TopologySettings()
    administrator = _Administrator(client, time.monotonic() + patience_s)
    wanted = streams(settings)
    for stream in wanted:
        await administrator.ensure_stream(stream)
    for consumer in consumers(specialties, shards, settings):
        await administrator.ensure_consumer(subjects.STREAM, consumer)
    await administrator.ensure_consumer(subjects.INGEST_STREAM, ingest_consumer())
    for stream in wanted:
        # Answered by the stream's leader alone.
        await administrator.call(f"STREAM.INFO.{stream['name']}", {})


def _stream(name: str, subject_list: list[str], settings: TopologySettings) -> dict[str, Any]:
    return {
        "name": name,
        "subjects": subject_list,
        "storage": "file",
        "retention": "limits",
        "num_replicas": settings.replicas,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
        "allow_direct": True,
    }


def _bucket(bucket: str, settings: TopologySettings) -> dict[str, Any]:
    return _stream(f"KV_{bucket}", [f"$KV.{bucket}.>"], settings) | {
        "max_msgs_per_subject": 1,
        "discard": "new",
        "deny_delete": True,
        "allow_rollup_hdrs": True,
    }


def _objects(bucket: str, settings: TopologySettings) -> dict[str, Any]:
    """An object store as the clients make it (ADR-20)."""
    return _stream(f"OBJ_{bucket}", [f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"], settings) | {
        "discard": "new",
        "allow_rollup_hdrs": True,
    }


def _durable(name: str, filters: list[str]) -> dict[str, Any]:
    return {
        "durable_name": name,
        "name": name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "replay_policy": "instant",
        "max_deliver": -1,
        "max_waiting": 512,
        "filter_subjects": filters,
    }


def _shard(shard: int, settings: TopologySettings) -> dict[str, Any]:
    return _durable(shard_consumer(shard), [subjects.conv_shard(shard)]) | {
        "ack_wait": SHARD_ACK_WAIT_S * SECOND,
        "max_ack_pending": settings.max_ack_pending,
        "priority_policy": "pinned_client",
        "priority_groups": [GROUP],
        "priority_timeout": int(PIN_TIMEOUT_S * SECOND),
    }


class _Administrator:
    """Asks again, until its time is over, while the cluster has not found itself."""

    def __init__(self, client: Wire, deadline: float) -> None:
        self._client = client
        self._deadline = deadline

    async def ensure_stream(self, config: dict[str, Any]) -> None:
        name = config["name"]
        error = await self._ask(f"STREAM.CREATE.{name}", config)
        if error and error["err_code"] in _EXISTS:
            error = await self._ask(f"STREAM.UPDATE.{name}", config)
        if error:
            raise from_api(name, error["err_code"], error["description"])

    async def ensure_consumer(self, stream: str, config: dict[str, Any]) -> None:
        body = {"stream_name": stream, "config": config, "action": ""}
        await self.call(f"CONSUMER.CREATE.{stream}.{config['durable_name']}", body)

    async def call(self, api: str, body: dict[str, Any]) -> None:
        error = await self._ask(api, body)
        if error:
            raise from_api(api, error["err_code"], error["description"])

    async def _ask(self, api: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """What the server has against it; None when it has done it."""
        while True:
            try:
                error = await _try(self._client, api, body)
            except ParleyError:
                if time.monotonic() > self._deadline:
                    raise
            else:
                if not error or error["err_code"] not in _NOT_YET or time.monotonic() > self._deadline:
                    return error
            await asyncio.sleep(_AGAIN_S)


async def _try(client: Wire, api: str, body: dict[str, Any]) -> dict[str, Any] | None:
    subject = f"$JS.API.{api}"
    try:
        reply = await client.request(subject, msgspec.json.encode(body), timeout=_ANSWER_S)
    except CLIENT_ERRORS as error:
        raise from_client(subject, error) from error
    found: dict[str, Any] | None = msgspec.json.decode(reply.data).get("error")
    return found
