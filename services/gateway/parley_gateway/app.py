"""The wiring: settings and the mesh in, a service out."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from litestar import Litestar, asgi
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from parley_gateway import domain, http, metrics
from parley_gateway.adapters import Conversations, offer_drop
from parley_gateway.admission import Admission, Patience
from parley_gateway.auth import Authenticator, Tickets
from parley_gateway.condition import Condition
from parley_gateway.domain import MAX_BODY, Buckets, Seats
from parley_gateway.handlers import Door
from parley_gateway.hub import Hub
from parley_gateway.settings import Settings, check
from parley_gateway.socket import Receive, Send, Socket
from parley_gateway.ws import Connection
from parley_mesh.bus import Bus
from parley_mesh.endpoints import version_of
from parley_mesh.notices import NoticeBoard
from parley_mesh.runner import Mesh, Service
from parley_mesh.tail import Tail
from parley_proto import subjects
from parley_proto.broadcast import Notice

GOODBYE_S = 3.0
WEBSOCKET = "/v1/ws"
Scope = MutableMapping[str, Any]


async def build(settings: Settings, mesh: Mesh) -> Service:
    """The gateway on `mesh`: the readers of the log and of notices, and the door behind them."""
    check(settings)
    hub = Hub(mesh.bus.listen)
    tail = Tail(mesh.client, subjects.STREAM, subjects.ALL_OUT, hub.shown)
    board = NoticeBoard(mesh.client, hub.notice)
    door = make_door(settings, mesh.bus, hub, tenant=mesh.settings.tenant, shards=mesh.settings.shards)
    door.in_force = board.in_force
    condition = Condition(settings.expected(), lambda: mesh.client.is_connected, hub.condition)
    door.conversations.lost_for = condition.lost_for
    # The port is open before `start`: nobody may join who would not hear what happens next.
    await tail.open()
    await board.open()
    await condition.open(mesh.bus.listen)

    async def close() -> None:
        await condition.close()
        await tail.close()
        await board.close()

    async def say_goodbye() -> None:
        # The runner gives a step `drain_s`; the goodbye itself needs some of it.
        await drain(door, mesh.settings.drain_s - GOODBYE_S)

    return Service(
        ready=door.unable,
        notes=condition.notes,
        drain=say_goodbye,
        close=close,
        stats=lambda: {
            "connections": len(door.guests),
            "conversations": hub.open_rooms,
            "unanswered": len(door.admission),
        },
        http=make_app(door),
    )


def make_door(settings: Settings, bus: Bus, hub: Hub, *, tenant: str, shards: int) -> Door:
    """What the connections share; takes any bus."""
    patience = Patience(settings.patience_s, settings.least_waiting)
    admission = Admission(settings.max_unanswered, settings.new_chat_share, settings.stall_s, patience)
    hub.unanswered = admission
    metrics.UNANSWERED.set_function(admission.__len__)
    return Door(
        settings=settings,
        conversations=Conversations(bus, shards, settings.accept_s),
        hub=hub,
        auth=Authenticator(settings, tenant),
        tickets=Tickets(settings.ticket_secret, settings.ticket_s),
        seats=Seats(settings.max_sockets, settings.max_sockets_per_principal),
        buckets=Buckets(settings.messages_per_minute),
        tenants=Buckets(settings.tenant_messages_per_minute),
        admission=admission,
        in_force=_no_notices,
        origins=domain.origins(settings.origins),
    )


def make_app(door: Door) -> http.App:
    """The ASGI application around `door`."""

    @asgi(WEBSOCKET, copy_scope=True)
    async def not_a_socket(scope: Scope, receive: Receive, send: Send) -> None:
        await http.upgrade_required(send)

    app = Litestar(
        route_handlers=[http.tickets, http.agui, http.meta, http.index, http.page, not_a_socket],
        exception_handlers={HTTPException: http.refused, Exception: http.refused},
        cors_config=http.cors(door),
        openapi_config=_openapi(),
        request_max_body_size=2 * MAX_BODY,
        logging_config=None,
    )
    app.state.door = door

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        offer_drop(scope, send)
        if scope["type"] == "websocket" and scope["path"] == WEBSOCKET:
            # The framework has nothing to add to a socket, and would wrap whatever is sent on 5,000 of them.
            await Connection(door, Socket(scope, receive, send)).run()
        else:
            await app(scope, receive, send)  # type: ignore[arg-type]

    return front


async def drain(door: Door, seconds: float) -> None:
    """Let no one in, send sockets elsewhere, and give running SSE runs `seconds` to finish."""
    door.draining = True
    for guest in door.guests:
        if not guest.patient:
            guest.go_away()
    if not await door.guests.empty_within(seconds):
        for guest in door.guests:
            guest.go_away()
        await door.guests.empty_within(GOODBYE_S / 2)


def _no_notices(_specialty: str) -> list[Notice]:
    return []


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Parley gateway",
        version=version_of("gateway"),
        path="/schema",
        # Only the document: the viewers would load their scripts from elsewhere.
        render_plugins=[JsonRenderPlugin(path="/openapi.json")],
    )
