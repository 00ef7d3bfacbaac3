"""The chat page in a real browser, against a running mesh."""

from __future__ import annotations

from pathlib import Path

from parley_testkit.browser import Browser
from parley_testkit.mesh import RunningMesh

ANSWERS = "document.querySelectorAll('.message.assistant:not(.writing)')"
MINE = "document.querySelectorAll('.message.mine').length"


async def ask(page: Browser, text: str, answers: int) -> str:
    """Type, press Enter, and wait for one more whole answer."""
    await page.js("document.getElementById('words').focus()")
    await page.type(text)
    await page.press("Enter")
    await page.until(f"{ANSWERS}.length >= {answers} && document.getElementById('stop').hidden")
    return str(await page.js(f"[...{ANSWERS}].at(-1).innerText"))


async def test_an_answer_is_streamed_with_its_sources_and_a_second_question_knows_the_first(
    mesh: RunningMesh, browser_path: str, tmp_path: Path
) -> None:
    async with Browser(browser_path) as page:
        await page.open(mesh.url)
        await page.until("!document.getElementById('words').disabled")
        first = await ask(page, "I was charged twice for my last order", 1)
        assert "charged twice" in first
        await page.until("document.querySelectorAll('.message.assistant details summary').length >= 1")
        assert await page.js("!document.getElementById('offline').hidden"), "the page says that the model is offline"
        second = await ask(page, "yes please", 2)
        assert second and second != first
        await page.screenshot(tmp_path / "chat.png")
        assert page.errors == []


async def test_a_page_that_is_loaded_again_shows_the_same_conversation(mesh: RunningMesh, browser_path: str) -> None:
    async with Browser(browser_path) as page:
        await page.open(mesh.url)
        first = await ask(page, "How long does a refund take?", 1)
        await page.js("window.before = true")
        await page.call("Page.reload")
        await page.until(f"!window.before && {ANSWERS}.length === 1 && {MINE} === 1")
        words = await page.js(f"{ANSWERS}[0].querySelector('.text').innerText")
        assert words and words in first


async def test_a_gateway_that_dies_is_reconnected_to_by_itself_and_nothing_is_shown_twice(
    mesh: RunningMesh, browser_path: str
) -> None:
    async with Browser(browser_path) as page:
        await page.open(mesh.url)
        await ask(page, "Where is my order?", 1)
        old = mesh.kill("gateway-1")
        mesh.wait_restarted("gateway-1", old)
        await ask(page, "How do I return it?", 2)
        assert await page.js(MINE) == 2
        assert await page.js(f"{ANSWERS}.length") == 2
        assert page.errors == []


async def test_what_a_customer_types_stays_text(mesh: RunningMesh, browser_path: str) -> None:
    async with Browser(browser_path) as page:
        await page.open(mesh.url)
        await ask(page, "<img src=x onerror=\"document.title='owned'\"> my invoice is wrong", 1)
        assert await page.js("document.querySelectorAll('#messages img').length") == 0
        assert await page.js("document.title") != "owned"


async def test_the_page_can_be_used_with_keyboard_and_screen_reader(mesh: RunningMesh, browser_path: str) -> None:
    async with Browser(browser_path) as page:
        await page.open(mesh.url)
        await ask(page, "How do I reset the router?", 1)
        assert await page.js("document.querySelector('[role=log]').getAttribute('aria-live')") == "off"
        assert "router" in (await page.js("document.getElementById('announce').textContent")).lower()
        unnamed = """[...document.querySelectorAll('button, textarea, select')].filter(node => node.offsetParent
            && !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length)).length"""
        assert await page.js(unnamed) == 0
        small = """[...document.querySelectorAll('button, select, textarea')].filter(node => node.offsetParent)
            .map(node => node.getBoundingClientRect()).filter(box => box.width < 24 || box.height < 24).length"""
        assert await page.js(small) == 0
