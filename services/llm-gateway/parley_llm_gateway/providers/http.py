"""One HTTP provider: its warm pool, and a call whose end the patience may decide."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from parley_llm_gateway.config import ProviderConfig
from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.patience import Patience
from parley_llm_gateway.providers.base import Pace
from parley_llm_gateway.refusals import from_status

MAX_BODY = 1 << 24
_KEEP_S = 60.0


class Upstream:
    """The provider's base URL with one session for all calls."""

    def __init__(self, config: ProviderConfig, headers: Mapping[str, str]) -> None:
        self._config = config
        self._headers = {"Content-Type": "application/json", "User-Agent": "parley"} | dict(headers)
        self._url = config.base_url.rstrip("/")
        parts = urlsplit(self._url)
        self.address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def ask(self, path: str, body: bytes, pace: Pace) -> AsyncGenerator[Answer, None]:
        """The answer to one POST, of status 200. Raises what `refusals` makes of any other."""
        asked = _Asked()
        patience = Patience(pace, asked.expire)
        try:
            response = await self._post(path, body, asked)
            asked.response = response
            answer = Answer(response, patience)
            try:
                if response.status != 200:
                    raise from_status(response.status, response.headers, await answer.whole(), self._config)
                yield answer
            finally:
                # Gives a connection back that was read to its end, and closes any other one at once.
                response.release()
        finally:
            patience.close()

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def _post(self, path: str, body: bytes, asked: _Asked) -> aiohttp.ClientResponse:
        posting = asyncio.current_task()
        asked.posting = posting
        try:
            return await self._opened().post(self._url + path, data=body, allow_redirects=False)
        except asyncio.CancelledError:
            if asked.error and posting and posting.uncancel() == 0:
                raise asked.error from None
            raise
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            host, port = self.address
            text = f"The model provider at {host}:{port} can't be reached."
            raise ProviderFailed(text, code="unreachable") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            text = "The model provider closed the connection without an answer."
            raise ProviderFailed(text, code="no_answer") from error
        finally:
            asked.posting = None

    def _opened(self) -> aiohttp.ClientSession:
        # A configuration that was read anew closes it, and a call that waited to try again may still come.
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                connector=aiohttp.TCPConnector(limit=self._config.max_connections, keepalive_timeout=_KEEP_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._config.pace.connect_s),
            )
        return self._session


class _Asked:
    """Where an expired patience strikes: at the task that still posts, or at the stream that is read."""

    def __init__(self) -> None:
        self.posting: asyncio.Task[object] | None = None
        self.response: aiohttp.ClientResponse | None = None
        self.error: ProviderFailed | None = None

    def expire(self, error: ProviderFailed) -> None:
        self.error = error
        if self.response is not None:
            self.response.content.set_exception(error)
            self.response.close()
        elif self.posting:
            self.posting.cancel()


class Answer:
    """The body of one answer, as it comes."""

    def __init__(self, response: aiohttp.ClientResponse, patience: Patience) -> None:
        self._content = response.content
        self.patience = patience
        self.is_json = response.content_type == "application/json"

    async def block(self) -> bytes:
        """The next bytes, empty at the end. ProviderFailed where it broke off or took too long."""
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderFailed("The model provider's stream broke off.", code="stream_cut") from error

    async def whole(self) -> bytes:
        """The body as far as it matters; msgspec refuses one that was cut."""
        body = bytearray()
        while len(body) < MAX_BODY and (block := await self.block()):
            body += block
        return bytes(body)
