"""The real nats CLI against a running mesh: conversations, the log, instances, a broadcast."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import select
import subprocess

import pytest

from parley_testkit.mesh import RunningMesh


class Nats:
    """Runs `nats …` with what `parley env` prints."""

    def __init__(self, command: str, mesh: RunningMesh) -> None:
        exports = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", mesh.cli("env"), re.MULTILINE))
        home = {"HOME": str(mesh.folder), "XDG_CONFIG_HOME": str(mesh.folder), "TERM": "xterm"}
        self._environ = os.environ | exports | home
        self._command = command

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._command, *arguments], env=self._environ, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def in_a_terminal(self, *arguments: str, until: str) -> str:
        """What a command that pages shows on a terminal before `until`; then it is ended."""
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [self._command, *arguments], env=self._environ, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        shown = ""
        try:
            while until not in shown and select.select([master], [], [], 15)[0]:
                shown += os.read(master, 65536).decode("utf-8", "replace")
        except OSError as error:
            # Linux's way to say that the other side of a terminal has closed.
            assert error.errno == errno.EIO
        finally:
            process.kill()
            process.wait()
            os.close(master)
        return shown


@pytest.fixture
def nats(mesh: RunningMesh, nats_command: str) -> Nats:
    return Nats(nats_command, mesh)


def test_a_conversation_can_be_read_as_json(mesh: RunningMesh, nats: Nats) -> None:
    thread = mesh.json("chat", "I was charged twice for my last order")["threadId"]
    state = json.loads(nats("kv", "get", "conversations", thread, "--raw"))
    assert state["conversation"] == thread and state["owner"] == "billing"


def test_the_log_can_be_viewed(mesh: RunningMesh, nats: Nats) -> None:
    thread = mesh.json("chat", "Where is my order?")["threadId"]
    view = ["stream", "view", "KV_conversations", "25", "--subject", f"conv.*.{thread}"]
    shown = nats.in_a_terminal(*view, until="Where is my order?")
    assert '"type":"CustomerMessage"' in shown and "Where is my order?" in shown


def test_every_instance_is_listed(mesh: RunningMesh, nats: Nats) -> None:
    ours = {child.service for child in mesh.state.children.values()} - {"nats", "postgres", "backoffice"}
    assert "billing" in ours
    # It waits 300 ms for the next one to answer, which is short where others start a mesh.
    for _ in range(10):
        listed = nats("micro", "ls")
        missing = [name for name in sorted(ours) if name not in listed]
        if not missing:
            break
    assert not missing


def test_a_broadcast_reaches_open_chats_and_the_next_turns(mesh: RunningMesh, nats: Nats) -> None:
    import asyncio

    from parley_cli.client import Conversation, door

    async def watch() -> tuple[list[str], str]:
        seen: list[str] = []
        heard = asyncio.Event()

        def see(ev: dict[str, object]) -> None:
            if ev.get("activityType") == "notice":
                seen.append(json.dumps(ev))
                heard.set()

        async with door(mesh.url, "") as through, Conversation(through, "", see) as conversation:
            await conversation.say("I was charged twice for my last order", 60)
            await asyncio.to_thread(nats, "pub", "broadcast.outage", "Card payments are down")
            await asyncio.wait_for(heard.wait(), 10)
            answer = await conversation.say("Can I pay by card now?", 60)
        return seen, answer.text

    seen, answer = asyncio.run(watch())
    assert "Card payments are down" in seen[0]
    assert "Card payments are down" in answer
