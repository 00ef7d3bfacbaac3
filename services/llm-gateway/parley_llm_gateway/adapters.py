"""Who answers: a provider over HTTP, or the offline model in this process. One Protocol for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from parley_llm_gateway import offline
from parley_llm_gateway.assembly import Assembly
from parley_llm_gateway.errors import ProviderFailed
from parley_llm_gateway.refusals import from_error, from_status
from parley_llm_gateway.settings import Settings
from parley_llm_gateway.sse import Decoder, TooLong
from parley_llm_gateway.wire import Chunk, read_chunk, request_body
from parley_proto.llm import CompletionRequest, Finished, TextDelta, ToolCalled

Piece = TextDelta | ToolCalled | Finished

_OPENAI_HOST = "api.openai.com"
_MAX_BODY = 1 << 20
_USAGE_S = 1.0
_DONE = "[DONE]"


class Provider(Protocol):
    """Answers a completion with text, whole tool calls, and one `Finished` as the last piece.

    Raises ProviderFailed, ProviderRefused or KeyRefused. Closing the iterator closes the provider's socket at once.
    """

    @property
    def name(self) -> str: ...

    @property
    def address(self) -> tuple[str, int]:
        """Host and port for traces; an empty host inside this process."""
        ...

    def stream(self, request: CompletionRequest, model: str) -> AsyncGenerator[Piece, None]: ...

    async def close(self) -> None: ...


class OfflineProvider:
    """The offline model: extractive, deterministic, nothing leaves this process."""

    name = "parley"
    address = ("", 0)

    async def stream(self, request: CompletionRequest, model: str) -> AsyncGenerator[Piece, None]:
        for piece in offline.pieces(request, model):
            yield piece

    async def close(self) -> None:
        return None


class _Patience:
    """How long the next bytes may take: the first real delta has a timer of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + settings.first_delta_s
        self._begun = False
        self._finished = False

    @property
    def due(self) -> float:
        return self._due

    def moved(self) -> None:
        self._begun = True
        self._due = self._loop.time() + self._settings.inter_delta_s

    def finish(self) -> None:
        """Only the usage is missing: not worth more than a moment."""
        if not self._finished:
            self._finished = True
            self._due = self._loop.time() + _USAGE_S

    def expired(self) -> ProviderFailed:
        if self._begun:
            seconds, code = self._settings.inter_delta_s, "stalled"
            return ProviderFailed(f"The model provider stopped in mid-answer for {seconds:g} s.", code=code)
        seconds, code = self._settings.first_delta_s, "no_first_delta"
        return ProviderFailed(f"The model provider did not begin to answer within {seconds:g} s.", code=code)


class OpenAIProvider:
    """Any server that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, TGI."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = f"{settings.provider_url}/chat/completions"
        parts = urlsplit(self._url)
        self.name = "openai" if parts.hostname == _OPENAI_HOST else "openai_compatible"
        self.address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        # OpenAI's newer models refuse the old name, other servers know only the old one.
        self._limit_field = "max_completion_tokens" if self.name == "openai" else "max_tokens"
        self._session: aiohttp.ClientSession | None = None

    async def stream(self, request: CompletionRequest, model: str) -> AsyncGenerator[Piece, None]:
        assembly = Assembly(request, self._settings.max_output_chars)
        async with (
            self._asked(request, model) as (response, patience),
            aclosing(_read(response, patience, assembly)) as deltas,
        ):
            async for delta in deltas:
                yield delta
        for call in assembly.calls():
            yield call
        yield assembly.result(model)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    @asynccontextmanager
    async def _asked(
        self, request: CompletionRequest, model: str
    ) -> AsyncGenerator[tuple[aiohttp.ClientResponse, _Patience], None]:
        patience = _Patience(self._settings)
        body = request_body(request, model, self._limit_field)
        try:
            async with asyncio.timeout_at(patience.due):
                response = await self._opened().post(self._url, data=body, allow_redirects=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._translated(error, patience) from error
        try:
            if response.status != 200:
                raise from_status(response.status, response.headers, await _whole(response, patience))
            yield response, patience
        finally:
            # Gives a connection back that was read to its end, and closes any other one at once.
            response.release()

    def _translated(self, error: Exception, patience: _Patience) -> ProviderFailed:
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            host, port = self.address
            return ProviderFailed(f"The model provider at {host}:{port} can't be reached.", code="unreachable")
        if isinstance(error, TimeoutError):
            return patience.expired()
        return ProviderFailed("The model provider closed the connection without an answer.", code="no_answer")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "User-Agent": "parley"}
            if self._settings.api_key:
                headers["Authorization"] = f"Bearer {self._settings.api_key}"
            self._session = aiohttp.ClientSession(
                headers=headers,
                connector=aiohttp.TCPConnector(limit=self._settings.max_running),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_s),
            )
        return self._session


async def _read(
    response: aiohttp.ClientResponse, patience: _Patience, assembly: Assembly
) -> AsyncGenerator[TextDelta, None]:
    """The text of a stream, until `assembly` has all that it needs."""
    try:
        async with aclosing(_chunks(response, patience)) as chunks:
            async for chunk in chunks:
                delta, moved = assembly.take(chunk)
                if moved:
                    patience.moved()
                if delta:
                    yield delta
                if assembly.complete:
                    return
                if assembly.finished:
                    patience.finish()
    except ProviderFailed:
        # After the finish reason only the usage can be missing: the answer is whole.
        if not assembly.finished:
            raise


async def _chunks(response: aiohttp.ClientResponse, patience: _Patience) -> AsyncGenerator[Chunk, None]:
    """The chunks of a stream up to `[DONE]` or its end. ProviderFailed for garbage, silence or an error inside."""
    if response.content_type == "application/json":
        yield _checked(read_chunk(await _whole(response, patience)))
        return
    async with aclosing(_events(response, patience)) as events:
        async for data in events:
            if data == _DONE:
                return
            yield _checked(read_chunk(data))


def _checked(chunk: Chunk) -> Chunk:
    if chunk.error is not None:
        raise from_error(chunk.error)
    return chunk


async def _events(response: aiohttp.ClientResponse, patience: _Patience) -> AsyncGenerator[str, None]:
    decoder = Decoder()
    try:
        async for block in _blocks(response, patience):
            for event in decoder.feed(block):
                yield event.data
    except TooLong as error:
        raise ProviderFailed("The model provider sent something that is no answer.", code="provider_garbage") from error
    for event in decoder.end():
        yield event.data


async def _blocks(response: aiohttp.ClientResponse, patience: _Patience) -> AsyncIterator[bytes]:
    while block := await _within(response, patience):
        yield block


async def _within(response: aiohttp.ClientResponse, patience: _Patience) -> bytes:
    try:
        async with asyncio.timeout_at(patience.due):
            return await response.content.readany()
    except TimeoutError as error:
        raise patience.expired() from error
    except (aiohttp.ClientError, OSError) as error:
        raise ProviderFailed("The model provider's stream broke off.", code="stream_cut") from error


async def _whole(response: aiohttp.ClientResponse, patience: _Patience) -> bytes:
    """The body as far as it matters; msgspec refuses one that was cut."""
    body = bytearray()
    while len(body) < _MAX_BODY and (block := await _within(response, patience)):
        body += block
    return bytes(body)


def provider_of(settings: Settings) -> OpenAIProvider | None:
    """The provider that the settings name; None where only the offline model answers."""
    return OpenAIProvider(settings) if settings.provider_url else None
