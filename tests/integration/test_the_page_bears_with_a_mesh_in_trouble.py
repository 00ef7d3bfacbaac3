"""The chat page in a real browser, before a gateway that misses services, NATS or room: what it says and keeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from gateway_fixtures import House, Owner
from gateway_on_nats import gateway, server
from litestar import Response

from parley_gateway import http
from parley_gateway.guests import Guest, Guests
from parley_gateway.hub import Hub, Reader
from parley_gateway.settings import Settings
from parley_mesh.pulse import Heart
from parley_testkit.browser import Browser
from parley_testkit.nats_server import NatsServer

__all__ = ["server"]
BANNER = "document.getElementById('degraded')"
SHOWN = f"!{BANNER}.hidden && {BANNER}.textContent"
ANNOUNCED = "document.getElementById('announce').textContent"


@asynccontextmanager
async def page_of(house: House, browser_path: str) -> AsyncIterator[Browser]:
    """The page, connected."""
    async with Browser(browser_path) as page:
        await page.open(house.http)
        await page.until("document.getElementById('link').textContent === '' && sessionStorage['parley.chat']")
        yield page
        assert page.errors == []


async def thread_of(page: Browser) -> str:
    kept = json.loads(await page.js("sessionStorage['parley.chat']"))
    return str(kept["thread"])


async def say(page: Browser, text: str) -> None:
    await page.js("document.getElementById('words').focus()")
    await page.type(text)
    await page.press("Enter")


async def speak(page: Browser, language: str) -> None:
    picked = f"Object.assign(document.getElementById('language'), {{value: '{language}'}})"
    await page.js(f"{picked}.dispatchEvent(new Event('change'))")


async def texts(owner: Owner, count: int) -> list[str]:
    return [entry.text for _, entry in await owner.wait_for(count)]


async def test_a_missing_service_is_a_quiet_line_in_the_readers_language_until_it_is_back(
    server: NatsServer, browser_path: str
) -> None:
    rag = Heart(await server.connect("rag"), "rag", "rag-1", lambda: "")
    async with gateway(server, Settings(expects="rag")) as house:
        rag.start()
        async with page_of(house, browser_path) as page:
            assert await page.js(f"{BANNER}.hidden")
            await rag.stop()
            await page.until(SHOWN)
            said = await page.js(f"{BANNER}.textContent")
            assert said == "We can't look things up right now, so answers may leave something open."
            assert await page.js(ANNOUNCED) == said
            sentences = {said}
            for language in ("de", "fr", "es", "ar"):
                await speak(page, language)
                sentences.add(await page.js(f"{BANNER}.textContent"))
            assert len(sentences) == 5 and await page.js("document.documentElement.dir") == "rtl"
            rag.start()
            await page.until(f"{BANNER}.hidden")
            await rag.stop()


async def test_what_is_said_while_nats_is_away_is_kept_and_sent_by_itself_once(
    server: NatsServer, browser_path: str
) -> None:
    async with gateway(server, Settings(expects="")) as house, page_of(house, browser_path) as page:
        await say(page, "Before")
        owner = house.owner(await thread_of(page))
        await owner.echo()
        server.kill()
        await page.until(SHOWN)
        await say(page, "During")
        # It was refused, and is not shown as failed: the page tries again.
        await page.until("JSON.parse(sessionStorage['parley.chat']).waiting.length === 1")
        server.start()
        await page.until(f"{BANNER}.hidden")
        assert await texts(owner, 2) == ["Before", "During"]
        await page.until("JSON.parse(sessionStorage['parley.chat']).waiting.length === 0")
        await owner.echo(2)
        await owner.answer("Both at once.")
        await page.until("document.querySelectorAll('.message.assistant:not(.writing)').length === 1")
        assert await page.js("document.querySelectorAll('.message.mine').length") == 2


@pytest.mark.parametrize("language", ["en", "de"])
async def test_a_busy_gateway_is_tried_again_until_there_is_room(
    server: NatsServer, browser_path: str, language: str
) -> None:
    busy = {"en": "We are busy. It will be sent in a moment.", "de": "Wir sind ausgelastet. Es wird gleich gesendet."}
    async with gateway(server, Settings(expects="", max_unanswered=1)) as house, house.client() as first:
        assert (await first.say("I was first"))["type"] == "ack"
        async with page_of(house, browser_path) as page:
            await speak(page, language)
            await say(page, "And I am next")
            await page.until(f"{ANNOUNCED} === {busy[language]!r}")
            owner = house.owner(first.thread)
            await owner.echo()
            await owner.answer("Done.")
            assert await texts(house.owner(await thread_of(page)), 1) == ["And I am next"]


async def test_who_has_said_nothing_yet_is_not_alarmed_when_the_gateway_goes_away(
    server: NatsServer, browser_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, add = list[Guest](), Guests.add

    def seen(guests: Guests, guest: Guest) -> None:
        came.append(guest)
        add(guests, guest)

    monkeypatch.setattr(Guests, "add", seen)
    async with gateway(server, Settings(expects="")) as house, page_of(house, browser_path) as page:
        first = await thread_of(page)
        came[0].go_away()
        await page.until(f"JSON.parse(sessionStorage['parley.chat']).thread !== {first!r}", seconds=30)
        await page.until("document.getElementById('link').textContent === ''")
        assert await page.js("document.getElementById('alarm').textContent") == ""
        await say(page, "Here I am")
        assert await texts(house.owner(await thread_of(page)), 1) == ["Here I am"]


async def test_a_gateway_that_takes_connections_and_welcomes_nobody_is_tried_anew(
    server: NatsServer, browser_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, join, tries = http._file("socket.js"), Hub.join, []
    assert b"PATIENCE_MS = 30000" in script.content
    hurried = Response(script.content.replace(b"= 30000", b"= 3000"), media_type=script.media_type)
    monkeypatch.setattr(http, "_file", lambda name, of=http._file: hurried if name == "socket.js" else of(name))

    async def stuck(hub: Hub, reader: Reader) -> None:
        tries.append(reader)
        if len(tries) == 1:
            await asyncio.Event().wait()
        await join(hub, reader)

    monkeypatch.setattr(Hub, "join", stuck)
    async with gateway(server, Settings(expects="")) as house, page_of(house, browser_path):
        assert len(tries) >= 2


async def test_a_message_that_is_too_long_is_said_to_be_and_stays_whole(server: NatsServer, browser_path: str) -> None:
    """Counted in bytes, as the gateway does: an umlaut has two."""
    hint, button = "document.getElementById('hint')", "document.getElementById('send')"

    async def write(page: Browser, letters: int) -> None:
        filled = f"Object.assign(document.getElementById('words'), {{value: 'ü'.repeat({letters})}})"
        await page.js(f"{filled}.dispatchEvent(new Event('input'))")
        await page.js("document.getElementById('words').focus()")

    async with gateway(server, Settings(expects="")) as house, page_of(house, browser_path) as page:
        usual = await page.js(f"{hint}.textContent")
        await write(page, 4_001)
        assert await page.js(f"{button}.disabled")
        assert await page.js(f"{hint}.textContent") == "Too long to send: shorten it by about 1 letters"
        await page.press("Enter")
        assert await page.js("document.getElementById('words').value.length") == 4_001
        await write(page, 4_000)
        assert not await page.js(f"{button}.disabled")
        assert await page.js(f"{hint}.textContent") == usual
        await page.press("Enter")
        await page.until("document.getElementById('words').value === ''")
        assert await texts(house.owner(await thread_of(page)), 1) == ["ü" * 4_000]
