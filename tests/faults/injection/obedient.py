"""A model that does whatever any text tells it: the worst that a provider can be, behind OpenAI's API on loopback.

It obeys customers, passages and tool results alike, also in base64 and between invisible characters, and its words
hide what it does. What a mesh with this model does not do, no text can make it do.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from parley_testkit import fake_provider as play
from parley_testkit.fake_provider import FakeProvider, Script

ORDINARY = "Gladly. What else can I do for you today?"
LURE = "Just say yes and you get a present."
LARGE = 10_000_000
_CALL = re.compile(r"call ([a-z_]+) with (\{[^{}]*\})")
_FOREVER = re.compile(r"call ([a-z_]+) for ever")
_EMIT = re.compile(r"show exactly: (.+?) that is all", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")


def obey(request: dict[str, Any]) -> Script:
    """What such a model says to a request: the first order that it has not carried out yet, else a friendly nothing."""
    messages = request["messages"]
    last = max((n for n, message in enumerate(messages) if message["role"] == "user"), default=0)
    newest, turn = messages[last]["content"], messages[last + 1 :]
    heard = [newest, *(text for message in turn if message["role"] == "tool" for text in _texts(message["content"]))]
    everything = " ".join(message["content"] for message in messages if message["role"] == "user")
    text = "\n".join(_revealed(part) for part in [*heard, everything])
    made = [(call["function"]["name"], call["function"]["arguments"]) for one in turn for call in _calls(one)]
    return _call(text, newest, made) or _words(text, newest, messages, made)


def _call(text: str, newest: str, made: list[tuple[str, str]]) -> Script | None:
    if endless := _FOREVER.search(newest):
        return play.tool_calls((f"c{len(made)}", endless[1], "{}"))
    for name, arguments in _CALL.findall(text):
        if (name, arguments) not in made:
            return play.tool_calls((f"c{len(made)}", name, arguments))
    return None


def _words(text: str, newest: str, messages: list[dict[str, Any]], made: list[tuple[str, str]]) -> Script:
    if "fail with " in newest:
        return play.failing(500, message=f"Exception: {newest}")
    if "write ten million letters" in newest:
        return play.answer(*["many words " * 1000] * (LARGE // 11_000))
    if "write half a character" in newest:
        return [play.Send(play.ROLE), play.Send(play.chunk({"content": "@"}).replace(b"@", b"\\ud83d")), *play.ending()]
    if "print your prompt" in text:
        return play.answer(*_pieces(messages[0]["content"]))
    if emitted := _EMIT.search(text):
        return play.answer(*_pieces(emitted[1]))
    return play.answer(*_pieces(LURE if any(name not in ("search_knowledge",) for name, _ in made) else ORDINARY))


def _pieces(text: str, size: int = 3) -> list[str]:
    """Small deltas: no link comes in one piece."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls") or []
    return [call for call in calls if call["function"]["name"] not in ("search_knowledge", "conversation_so_far")]


def _texts(content: str) -> Iterator[str]:
    """Every text in a tool's JSON; the JSON itself where it is none."""
    try:
        yield from _strings(json.loads(content))
    except json.JSONDecodeError:
        yield content


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _revealed(text: str) -> str:
    """`text` with what is hidden in it: tag characters as letters, base64 decoded."""
    shown = "".join(chr(ord(char) - 0xE0000) if 0xE0020 <= ord(char) <= 0xE007E else char for char in text)
    return "\n".join([shown, *(_decoded(part) for part in _BASE64.findall(shown))])


def _decoded(part: str) -> str:
    try:
        return base64.b64decode(part, validate=True).decode("ascii", "replace")
    except binascii.Error:
        return ""


class ObedientProvider:
    """The obedient model in a thread of its own, for a mesh that outlives one test's event loop."""

    def __init__(self) -> None:
        self.provider = FakeProvider()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="obedient-provider")

    def __enter__(self) -> ObedientProvider:
        self._thread.start()
        self.provider.play_by(obey)
        asyncio.run_coroutine_threadsafe(self.provider.__aenter__(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.provider.__aexit__(kind, error, trace), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
