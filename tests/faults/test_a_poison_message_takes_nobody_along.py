"""A message that ends every process that works on it: a dead letter in the end, and its neighbours are all answered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from parley_cli.client import Answer, Conversation, Door, door
from parley_testkit.mesh import RunningMesh

POISON = "I was charged twice for my last order, xyzzy"
NEIGHBOURS = 24
_SITE = """
import os, sys

if "parley_billing" in sys.orig_argv:
    from parley_specialist.loop import Loop

    answer = Loop.answer

    async def poisoned(self, turn, attempt):
        if any("xyzzy" in line.text for line in turn.messages):
            os._exit(11)
        return await answer(self, turn, attempt)

    Loop.answer = poisoned
"""


async def say(through: Door, text: str) -> Answer:
    async with Conversation(through) as conversation:
        return await conversation.say(text, 300)


@pytest.mark.timeout(900)
async def test_its_neighbours_are_answered_and_it_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(_SITE)
    environ = {"PYTHONPATH": str(tmp_path), "PARLEY_UP_RESTARTS": "100", "PARLEY_RAG_KNOWLEDGE_DIR": "none"}
    # Not even the poison may run out of time.
    environ["PARLEY_CONVERSATION_TURN_TIMEOUT_S"] = "300"
    with RunningMesh(environ=environ) as mesh:
        async with door(mesh.url) as through:
            texts = ["Please send me my latest invoice"] * NEIGHBOURS
            poison, *others = await asyncio.gather(say(through, POISON), *(say(through, text) for text in texts))
        assert [other.kind for other in others].count("failed") == 0
        assert poison.kind == "failed"
        (letter,) = mesh.json("dead", "list")
        assert letter["messages"][0]["text"] == POISON and "ended" in letter["reason"]
        assert mesh.restarts("billing-1") == 4
