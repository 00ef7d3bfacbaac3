"""The HTTP side: tickets, runs, the chat page, what a client may know before it connects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import resources
from pathlib import PurePosixPath
from typing import Annotated, Any

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.background_tasks import BackgroundTask
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter
from litestar.response import Stream

from parley_gateway import handlers, metrics, refusals
from parley_gateway.adapters import dropper
from parley_gateway.domain import ANONYMOUS, MAX_BODY
from parley_gateway.handlers import Door
from parley_gateway.run import Run, conversation_of, read_input
from parley_mesh.endpoints import version_of
from parley_mesh.telemetry import log
from parley_proto.errors import ParleyError, PermanentError

STATUS = {"unauthorized": 401, "bad_origin": 403, "too_slow": 408, "too_large": 413}
BODY_S = 15.0
BUSY = ("overloaded", "unavailable", "restart")
App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
AnyRequest = Request[Any, Any, State]
CONTENT_SECURITY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-cache",
}
MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Problem(msgspec.Struct, rename="camel", omit_defaults=True):
    """Why a request was refused: a stable code, one sentence, and when another try makes sense."""

    code: str
    message: str
    retry_after_ms: int = 0


class Ticket(msgspec.Struct, rename="camel"):
    """Good for one `hello` within `expiresInMs`."""

    ticket: str
    expires_in_ms: int


class Meta(msgspec.Struct, rename="camel"):
    """`offline` says whether the local offline model answers; null while nobody knows yet."""

    version: str
    auth: bool
    offline: bool | None


_PROBLEMS = {
    400: ResponseSpec(Problem, description="The request is not one that can be answered."),
    401: ResponseSpec(Problem, description="Sign in first."),
    403: ResponseSpec(Problem, description="This origin may not connect."),
    408: ResponseSpec(Problem, description="The body came too slowly."),
    413: ResponseSpec(Problem, description="Too large."),
    429: ResponseSpec(Problem, description="Too much at once; see Retry-After."),
    503: ResponseSpec(Problem, description="Full, stopping, or the mesh can't be reached; see Retry-After."),
}


@post("/v1/tickets", status_code=201, responses=_PROBLEMS, summary="Buy a ticket for one WebSocket connection")
async def tickets(
    request: AnyRequest, authorization: Annotated[str | None, HeaderParameter(name="authorization")] = None
) -> Ticket:
    door: Door = request.app.state.door
    _check(door, request)
    session = door.auth.session(authorization)
    if session.principal != ANONYMOUS:
        handlers.within_rate(door, session, "")
    return Ticket(door.tickets.issue(session), door.tickets.lifetime_ms)


@post(
    "/v1/agui",
    status_code=200,
    media_type="text/event-stream",
    responses=_PROBLEMS,
    summary="Send the last user message of an AG-UI RunAgentInput and stream the run that answers it",
)
async def agui(
    request: AnyRequest, authorization: Annotated[str | None, HeaderParameter(name="authorization")] = None
) -> Stream:
    door: Door = request.app.state.door
    _check(door, request)
    session = door.auth.session(authorization)
    known = session.principal != ANONYMOUS
    if known:
        # Before its body is read: what is refused costs its sender something too.
        handlers.within_rate(door, session, "")
    asked = read_input(await _body(request))
    conversation = await conversation_of(door, session, asked.threadId)
    if not known:
        handlers.within_rate(door, session, conversation)
    run = Run(door, conversation, asked, dropper(dict(request.scope)))
    await run.open(session)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(run.stream(), media_type="text/event-stream", headers=headers, background=BackgroundTask(run.close))


@get("/v1/meta", summary="What a client may know before it connects")
async def meta(request: AnyRequest) -> Meta:
    door: Door = request.app.state.door
    said = {"yes": True, "no": False}.get(door.settings.offline_model)
    offline = door.hub.offline if door.hub.offline is not None else said
    return Meta(version_of("gateway"), door.settings.auth != "off", offline)


@get("/", include_in_schema=False)
async def index() -> Response[bytes]:
    return _file("index.html")


@get("/page/{name:str}", include_in_schema=False)
async def page(name: FromPath[str]) -> Response[bytes]:
    return _file(name)


def refused(request: AnyRequest, error: Exception) -> Response[Problem]:
    """Every failure in one shape; what nobody expected is logged and told as `internal`."""
    if isinstance(error, HTTPException):
        problem = Problem("not_found" if error.status_code == 404 else "refused", error.detail or "Refused.")
        return Response(problem, status_code=error.status_code, media_type=MediaType.JSON)
    if not isinstance(error, ParleyError):
        log("parley.gateway").error("request failed", exc_info=error)
        return Response(Problem("internal", "Parley failed on this request."), status_code=500)
    code, status = refusals.public_code(error), _status(error)
    metrics.REFUSED.labels(code).inc()
    sentence = refusals.public_message(error)
    if status not in (429, 503):
        return Response(Problem(code, sentence), status_code=status)
    retry_ms = refusals.retry_after(error) or refusals.jittered(refusals.OVERLOADED_MS)
    headers = {"Retry-After": str(-(-retry_ms // 1000))}
    return Response(Problem(code, sentence, retry_ms), status_code=status, headers=headers)


def _status(error: ParleyError) -> int:
    """429 for what is refused to this caller, 503 for what nobody would be given now."""
    code = refusals.public_code(error)
    if isinstance(error, refusals.Later):
        return 429
    return 503 if code in BUSY else STATUS.get(code, 400)


async def upgrade_required(send: Callable[[Any], Awaitable[None]]) -> None:
    """For a plain request where a WebSocket is spoken."""
    body = msgspec.json.encode(Problem("upgrade_required", "This address speaks WebSocket only."))
    headers = [(b"content-type", b"application/json"), (b"upgrade", b"websocket")]
    await send({"type": "http.response.start", "status": 426, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def cors(door: Door) -> CORSConfig | None:
    """For pages of other origins that may use the API; none is the default."""
    if not door.origins:
        return None
    return CORSConfig(
        allow_origins=sorted(door.origins),
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type"],
    )


async def _body(request: AnyRequest) -> bytes:
    """The body, given up as soon as it is larger or slower than it may be."""
    chunks = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                chunks += chunk
                if len(chunks) > MAX_BODY:
                    sentence = f"A request has at most {MAX_BODY} bytes; send fewer old messages."
                    raise PermanentError(sentence, code="too_large")
    except TimeoutError as error:
        raise PermanentError(f"The body did not come within {BODY_S:g} s.", code="too_slow") from error
    return bytes(chunks)


def _check(door: Door, request: AnyRequest) -> None:
    if door.draining:
        raise ParleyError("This instance stops; try again.", code="restart")
    if not door.origin_ok({name: request.headers[name] for name in ("origin", "host") if name in request.headers}):
        raise PermanentError("This origin may not use Parley; add it to PARLEY_GATEWAY_ORIGINS.", code="bad_origin")


def _file(name: str) -> Response[bytes]:
    media = MEDIA.get(PurePosixPath(name).suffix)
    found = resources.files("parley_gateway").joinpath("page", name)
    if media is None or "/" in name or "\\" in name or not found.is_file():
        return Response(b"There is no such page.", status_code=404, media_type="text/plain", headers=PAGE_HEADERS)
    return Response(found.read_bytes(), media_type=media, headers=PAGE_HEADERS)
