"""Conversations that the mesh knows before anybody talks, with as much history as is asked for."""

from __future__ import annotations

from nats.aio.client import Client
from reconnect import SPECIALTY, WRITES_AT_ONCE, _at_once
from reconnect import seed as conversations_of

from generator.crowd import Place
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.conversation import MessageShown
from parley_proto.envelope import encode, new_id, now_ms

_WORDS = "I have told you before that the parcel came on a Tuesday, and that the invoice was for two of them. "
_ENTRY = 500


async def seed(client: Client, count: int, history_kb: int) -> list[Place]:
    """`count` conversations with a question and its answer, and `history_kb` of further words each."""
    bus = NatsBus(client)
    places = await conversations_of(bus, count)

    async def more(thread: str, since: int) -> Place:
        for number in range(history_kb * 1024 // _ENTRY):
            since = await _say(bus, thread, "assistant" if number % 2 else "customer")
        return Place(thread, since)

    return list(await _at_once(WRITES_AT_ONCE, [lambda p=place: more(p.thread, p.since) for place in places]))  # type: ignore[misc]


async def _say(bus: NatsBus, thread: str, role: str) -> int:
    name, text = new_id("r"), (_WORDS * 6)[:_ENTRY]
    if role == "customer":
        shown = MessageShown(name, "customer", text, now_ms(), client_id=name)
    else:
        shown = MessageShown(name, "assistant", text, now_ms(), turn_id=name, specialty=SPECIALTY, final=True)
    return (await bus.append(subjects.out(thread), encode(shown))).seq
