"""A headless Chromium, driven over its own DevTools protocol: what a person would see and do on a page."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

# Without these a browser on a closed network spends its time on connections that nobody answers.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1100,820",
]
START_S = 30.0


class Browser:
    """One page: `async with Browser(path) as page: await page.open(url)`."""

    def __init__(self, path: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="parley-browser-", ignore_cleanup_errors=True)
        self._path = path
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []

    async def __aenter__(self) -> Browser:
        data = f"--user-data-dir={self._folder.name}"
        self._process = subprocess.Popen(
            [self._path, *FLAGS, data, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(await self._page(), max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Network"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()
        await self._session.close()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One DevTools command and its answer."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(answer, START_S)

    async def js(self, expression: str) -> Any:
        """The value of an expression on the page; AssertionError with the page's own exception."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str, seconds: float = START_S) -> None:
        """Wait until an expression holds; TimeoutError names it."""
        try:
            async with asyncio.timeout(seconds):
                while not await self.js(f"Boolean({expression})"):
                    await asyncio.sleep(0.03)
        except TimeoutError as error:
            raise TimeoutError(f"{expression} did not come to hold within {seconds:g} s") from error

    async def type(self, text: str) -> None:
        """Into whatever has the focus, as a person would."""
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        code = {"Enter": 13, "Tab": 9, "Escape": 27}[key]
        facts = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": "\r" if key == "Enter" else ""}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **facts)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    async def offline(self, *, yes: bool) -> None:
        """Take the network away, or give it back."""
        limits = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await self.call("Network.emulateNetworkConditions", offline=yes, **limits)

    async def screenshot(self, file: Path) -> None:
        shot = await self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))

    async def _page(self) -> str:
        """The DevTools address of the first page, once the browser has said its port."""
        said = Path(self._folder.name) / "DevToolsActivePort"
        async with asyncio.timeout(START_S):
            while not said.is_file() or not said.read_text().strip():
                await asyncio.sleep(0.05)
            port = said.read_text().split()[0]
            while True:
                async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                    pages = [page for page in await answer.json() if page["type"] == "page"]
                if pages:
                    return str(pages[0]["webSocketDebuggerUrl"])
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                answer = self._waiting.pop(said["id"])
                if "error" in said:
                    answer.set_exception(AssertionError(said["error"]["message"]))
                else:
                    answer.set_result(said["result"])
            elif said["method"] == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(said["params"]["exceptionDetails"])[:500])
