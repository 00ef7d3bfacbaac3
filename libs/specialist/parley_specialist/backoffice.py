"""The third party over HTTP: pooled, with a deadline, a breaker and a bulkhead; the customer from the session."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
from aiobreaker import CircuitBreaker, CircuitBreakerError

from parley_mesh.patience import passing, patient
from parley_mesh.telemetry import inject
from parley_proto.envelope import Identity
from parley_proto.errors import TransientError
from parley_specialist.settings import Settings
from parley_specialist.tools import UNREADABLE, ToolRefusedError

PATIENCE_S = 12.0
# The code of an error that says that a call never left: nothing can have happened.
NOT_SENT = "not_sent"
# The code of a refusal because the customer has no such thing; every other refusal leaves open whether there is one.
NOT_FOUND = "not_found"
_REFUSALS = {400, 404, 409, 422}


class BackofficeClient:
    """One pool per process. A call that fails in passing is repeated: reads are harmless, effects carry their key."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.backoffice_url.rstrip("/")
        self._breaker = CircuitBreaker(fail_max=20, timeout_duration=timedelta(seconds=1))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.backoffice_connections),
            timeout=aiohttp.ClientTimeout(total=settings.backoffice_timeout_s),
            headers={"Authorization": f"Bearer {settings.backoffice_token}"},
        )

    async def close(self) -> None:
        await self._session.close()

    def of(self, identity: Identity, key: str = "", *, repeatable: bool = True) -> CustomerBackoffice:
        """The back office as this customer may see it; without `key` it can only be read."""
        return CustomerBackoffice(self, f"/v1/customers/{quote(identity.customer_id, safe='')}", key, repeatable)

    async def call(self, method: str, path: str, body: dict[str, Any] | None, key: str, *, repeatable: bool) -> Any:
        """The decoded answer, or its refusal with the third party's own sentence; TransientError when it is away.

        What is not `repeatable` is tried again only as long as it never left (`not_sent`).
        """
        left = False
        async for attempt in patient(PATIENCE_S, passing if repeatable else _never_left):
            with attempt:
                try:
                    answer = await self._guarded(method, path, body, key)
                except TransientError as error:
                    left = left or not _never_left(error)
                    raise
        return answer.after(left) if isinstance(answer, _Refused) else answer

    async def _guarded(self, method: str, path: str, body: dict[str, Any] | None, key: str) -> Any:
        try:
            return await self._breaker.call_async(self._once, method, path, body, key)
        except CircuitBreakerError as error:
            if isinstance(error.__cause__, TransientError):
                # This very call went out, and its failure opened the breaker.
                raise error.__cause__ from error
            raise TransientError("The back office is failing; it is left alone.", code=NOT_SENT) from error

    async def _once(self, method: str, path: str, body: dict[str, Any] | None, key: str) -> Any:
        headers = inject() | ({"Idempotency-Key": key} if key else {})
        try:
            async with self._session.request(method, self._base + path, json=body, headers=headers) as response:
                raw = await response.read()
        except aiohttp.ClientConnectorError as error:
            raise TransientError("The back office can't be reached.", code=NOT_SENT) from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise TransientError(f"The back office does not answer: {type(error).__name__}.") from error
        if response.status in _REFUSALS:
            # A refusal is an answer: it must not count as a failure of the third party.
            return _refused(response.status, raw)
        if response.status >= 400:
            raise TransientError(f"The back office answers {response.status}.", code="backoffice")
        try:
            return msgspec.json.decode(raw) if raw else None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise TransientError("The back office answers something that is no JSON.", code="backoffice") from error


def _never_left(error: BaseException) -> bool:
    return isinstance(error, TransientError) and error.code == NOT_SENT


class _Refused(msgspec.Struct, frozen=True):
    """`uncertain` where an earlier try has left and nobody knows what became of it."""

    sentence: str
    code: str | None
    uncertain: bool = False

    def after(self, left: bool) -> _Refused:
        return msgspec.structs.replace(self, uncertain=left)


class _Problem(msgspec.Struct):
    """How the third party refuses."""

    code: str = ""
    message: str = "The back office refused this without a reason."


def _refused(status: int, raw: bytes) -> _Refused:
    """The refusal, unless it only says that the same call is still being carried out.

    A 404 without the third party's own code may be a proxy's: it says nothing about what the customer has.
    """
    try:
        problem = msgspec.json.decode(raw, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        problem = _Problem()
    if problem.code == "in_progress":
        raise TransientError(problem.message, code=problem.code)
    return _Refused(problem.message, NOT_FOUND if (status, problem.code) == (404, NOT_FOUND) else None)


class CustomerBackoffice:
    """`parley_specialist.tools.Backoffice` for one customer."""

    def __init__(self, client: BackofficeClient, prefix: str, key: str, repeatable: bool) -> None:
        self._client = client
        self._prefix = prefix
        self._key = key
        self._repeatable = repeatable

    async def get(self, path: str) -> Any:
        """What is there; ToolRefusedError, with the code `not_found` only where the customer has no such thing."""
        try:
            return _accepted(await self._client.call("GET", self._prefix + path, None, "", repeatable=True))
        except TransientError as error:
            # Better an honest sentence now than silence until the turn's deadline.
            raise ToolRefusedError(
                "I can't reach your records right now. Please try again in a few minutes.", code=UNREADABLE
            ) from error

    async def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        if not self._key:
            raise ToolRefusedError("This tool only reads; it can't change anything.")
        sent = self._client.call(method, self._prefix + path, body, self._key, repeatable=self._repeatable)
        return _accepted(await sent)


def _accepted(answer: Any) -> Any:
    if isinstance(answer, _Refused):
        refused = ToolRefusedError(answer.sentence, code=answer.code)
        refused.uncertain = answer.uncertain
        raise refused
    return answer
