"""A log full of conversations, as the mesh would have written it, for the archiver's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
from nats.aio.client import Client

from parley_mesh.jetstream import NatsBus
from parley_mesh.topology import KEYS_BUCKET
from parley_proto import subjects
from parley_proto.conversation import CustomerMessage, MessageShown, OwnerChanged, TurnDue
from parley_proto.envelope import Identity, digest, encode, now_ms
from parley_proto.specialist import AssignTurn, EffectIntended, Line, TurnAnswered, TurnOpened

AT = 1_780_000_000_000
CANARY = "my card number is four canaries and a marlin"
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}

Entry = tuple[str, bytes]


def conversation(number: int) -> str:
    return f"conversation-{number:06d}"


def customer(number: int, tenant: str = "default") -> Identity:
    return Identity(tenant, f"principal-{number}", f"cus_{number:06d}", f"Canary Jones {number}")


def key_id(number: int, tenant: str = "default") -> str:
    return digest(tenant, f"cus_{number:06d}")


def talk(number: int, tenant: str = "default") -> list[Entry]:
    """One question and its answer: ten messages over all kinds of subjects, every one with the canary in it."""
    cid, who, turn = conversation(number), customer(number, tenant), f"turn-{number:012d}"
    conv, out, step = subjects.conv(cid), subjects.out(cid), subjects.step(cid, turn)
    asked = Line("customer", f"{CANARY} {number}", "m-1", at=AT)
    assign = AssignTurn(turn, 1, cid, who, "billing", [asked], [asked], AT + 60_000)
    answer = TurnAnswered(
        turn_id=turn, attempt=1, epoch=1, specialty="billing", at=AT, text=CANARY, kind="grounded", model="sample"
    )
    effect = EffectIntended(digest("effect", cid), "refund", cid, turn, 1, {"note": CANARY}, AT)
    messages: list[tuple[str, msgspec.Struct]] = [
        (conv, CustomerMessage(f"m-{number}", "1", f"{CANARY} {number}", "0" * 16, who, AT)),
        (out, MessageShown("m-1", "customer", CANARY, AT, client_id="1")),
        (out, OwnerChanged("billing", "", 1, CANARY, AT, turn)),
        (subjects.turn("billing"), assign),
        (step, TurnOpened(turn, 1, "billing", AT)),
        (subjects.effect(effect.key), effect),
        (conv, answer),
        (out, MessageShown("m-2", "assistant", CANARY, AT, turn_id=turn, final=True)),
        (conv, TurnDue(turn, 1)),
    ]
    return [(subject, encode(body)) for subject, body in messages] + [(conv, f"no JSON: {CANARY}".encode())]


async def publish(client: Client, entries: Sequence[Entry]) -> None:
    """Into the log, those of one subject in their order."""
    bus = NatsBus(client)
    for start in range(0, len(entries), 200):
        part = entries[start : start + 200]
        await asyncio.gather(*(bus.append(subject, body, headers=HEADERS) for subject, body in part))


async def erase(client: Client, key: str) -> None:
    """Destroy a customer's key, as `nats kv purge keys` does; what is published next is later by a millisecond."""
    bus, subject = NatsBus(client, f"KV_{KEYS_BUCKET}"), f"$KV.{KEYS_BUCKET}.{key}"
    await bus.append(subject, b"", headers={"KV-Operation": "PURGE", "Nats-Rollup": "sub"})
    marker = await bus.last(subject)
    assert marker and not marker.data
    while now_ms() <= marker.at:
        await asyncio.sleep(0)


async def deliver_again(client: Client) -> None:
    """Forget what was acknowledged: the durable begins from the first message."""
    reply = await client.request(f"$JS.API.CONSUMER.DELETE.{subjects.STREAM}.archiver", timeout=5)
    assert b'"success":true' in reply.data


async def all_settled(client: Client) -> bool:
    """The durable has delivered everything and everything is acknowledged.

    What is pending is not enough: the server counts it a moment after a write is acknowledged.
    """
    log = await client.jetstream().stream_info(subjects.STREAM)
    consumer = await client.jetstream().consumer_info(subjects.STREAM, "archiver")
    assert consumer.delivered
    return consumer.delivered.stream_seq >= log.state.last_seq and not (
        consumer.num_pending or consumer.num_ack_pending
    )
