"""What NATS knows of the mesh: the statistics of each instance, and what waits for each service."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from parley_proto.subjects import STREAM

_PATIENCE_S = 1.0
_API_S = 3.0


class Survey(msgspec.Struct, frozen=True):
    """`stats` by instance; `in_flight` (delivered, not yet acked) and `pending` (not yet delivered) by service."""

    stats: dict[str, dict[str, Any]]
    in_flight: dict[str, int]
    pending: dict[str, int]


async def survey(client: Client, services: Sequence[str], instances: int) -> Survey:
    """Ask everyone at once, for a second at most; who does not answer is missing."""
    stats, consumers = await asyncio.gather(_stats(client, services, instances), _consumers(client))
    in_flight: Counter[str] = Counter()
    pending: Counter[str] = Counter()
    for consumer in consumers:
        if service := service_of(consumer["name"]):
            in_flight[service] += consumer["num_ack_pending"]
            pending[service] += consumer["num_pending"]
    return Survey(stats, dict(in_flight), dict(pending))


def service_of(durable: str) -> str:
    """Which service a durable of the log feeds; empty for one that is nobody's."""
    if re.fullmatch(r"conv-\d+", durable):
        return "conversation"
    if match := re.fullmatch(r"turn-([a-z0-9-]+)-[a-z0-9]+-(urgent|normal|consult)", durable):
        return match[1]
    return durable if durable == "archiver" else ""


async def _stats(client: Client, services: Sequence[str], instances: int) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    complete = asyncio.Event()

    async def hear(message: Msg) -> None:
        if message.data:
            told = msgspec.json.decode(message.data)
            found[told["instance"]] = told
        if len(found) >= instances:
            complete.set()

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=hear)
    for service in services:
        await client.publish(f"$SRV.PARLEY.{service}", b"", reply=inbox)
    try:
        await asyncio.wait_for(complete.wait(), _PATIENCE_S)
    except TimeoutError:
        # One that hangs or is just being started again does not answer: what came in time is what there is.
        return found
    finally:
        await subscription.unsubscribe()
    return found


async def _consumers(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        request = msgspec.json.encode({"offset": len(found)})
        try:
            reply = await client.request(f"$JS.API.CONSUMER.LIST.{STREAM}", request, timeout=_API_S)
        except (TimeoutError, nats.errors.Error):
            return found
        page = msgspec.json.decode(reply.data)
        found += page.get("consumers") or []
        if len(found) >= page.get("total", 0) or not page.get("consumers"):
            return found
