"""A conversation leaves the log for the archive, and its customer comes back: every service a process of its own."""

from __future__ import annotations

import json
import time
from typing import Any

import aiohttp

from parley_cli.client import Conversation, door
from parley_mesh.connection import connect
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_testkit.mesh import RunningMesh

CHARGED = "I was charged twice for my last order"


class Frames:
    """What the gateway says to one client."""

    def __init__(self) -> None:
        self.received_: list[dict[str, Any]] = []

    def sent(self, thread: str, frame: dict[str, Any]) -> None:
        return None

    def received(self, thread: str, frame: dict[str, Any]) -> None:
        self.received_.append(frame)

    def lost(self, thread: str) -> None:
        return None

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [frame["ev"] for frame in self.received_ if frame["type"] == "event" and frame["ev"]["type"] == kind]


async def test_it_is_shown_what_is_remembered_and_goes_on_with_its_counters(mesh: RunningMesh) -> None:
    async with door(mesh.url) as through:
        async with Conversation(through) as first:
            await first.say(CHARGED, 60, client_id="first")
            thread, since = first.thread, first.transcript.since
        before = await state(mesh, thread)
        retire(mesh, thread)
        assert await stored(mesh, subjects.checkpoint(thread)) == b""
        assert await stored(mesh, subjects.out(thread)) is None
        frames = Frames()
        async with Conversation(through, thread, wire=frames) as again:
            again.transcript.since = since
            answer = await again.say("My router keeps dropping the connection", 60)
    after = await state(mesh, thread)
    assert frames.received_[0]["type"] == "welcome" and frames.received_[0]["resume"] == "reset"
    [snapshot] = frames.events("MESSAGES_SNAPSHOT")
    assert snapshot["messages"][0]["content"] == CHARGED
    assert answer.specialty == "technical"
    assert (after["turns"], len(after["recent"])) == (before["turns"] + 1, 2) and after["epoch"] > before["epoch"]
    assert after["opened_at"] == before["opened_at"] and after["identity"] == before["identity"]
    assert said(mesh, thread).count(CHARGED) == 1


async def test_nobody_else_gets_in_and_a_place_beyond_its_end_is_still_refused(mesh: RunningMesh) -> None:
    thread = mesh.json("chat", CHARGED)["threadId"]
    retire(mesh, thread)
    async with aiohttp.ClientSession() as session:
        assert (await hello(session, mesh, thread, 1 << 40))["code"] == "bad_seq"
        assert (await hello(session, mesh, "c" + "A" * 22, 0))["code"] == "unknown_conversation"


def test_the_command_says_why_a_conversation_has_to_stay(mesh: RunningMesh) -> None:
    refused = mesh.run("conversations", "retire", "c" + "A" * 22)
    assert refused.returncode == 1 and "no checkpoint" in refused.stderr
    assert mesh.run("conversations", "retire", "a.b").returncode == 2


def retire(mesh: RunningMesh, conversation: str) -> None:
    """As soon as it is archived."""
    deadline = time.monotonic() + 30
    while (done := mesh.run("conversations", "retire", conversation)).returncode:
        assert "stays in the log" in done.stderr and time.monotonic() < deadline, done.stderr
    assert "in the archive only" in done.stdout


def said(mesh: RunningMesh, conversation: str) -> list[str]:
    """The customer's words as the archive has them: all of them, whatever has left the log."""
    records = mesh.json("conversations", "show", conversation)
    return [record["body"]["text"] for record in records if record["type"] == "CustomerMessage"]


async def state(mesh: RunningMesh, conversation: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await stored(mesh, subjects.checkpoint(conversation)) or b"null")
    return found


async def stored(mesh: RunningMesh, subject: str) -> bytes | None:
    client = await connect(mesh.operator(), "operator")
    try:
        found = await NatsBus(client).last(subject)
    finally:
        await client.close()
    return found.data if found else None


async def hello(session: aiohttp.ClientSession, mesh: RunningMesh, thread: str, since: int) -> dict[str, Any]:
    """The first frame that answers a hello."""
    async with session.post(f"{mesh.url}/v1/tickets") as reply:
        ticket = (await reply.json())["ticket"]
    async with session.ws_connect(f"{mesh.url}/v1/ws") as socket:
        await socket.send_json({"type": "hello", "ticket": ticket, "threadId": thread, "since": since})
        answered: dict[str, Any] = await socket.receive_json()
    return answered
