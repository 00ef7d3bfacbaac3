"""The wiring: settings and a pool in, an ASGI application out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Router
from litestar.connection import ASGIConnection
from litestar.di import Provide
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from parley_backoffice import handlers, refusals
from parley_backoffice.adapters import Clock, Database
from parley_backoffice.domain import Refusal, is_reference, same_token
from parley_backoffice.metrics import Metrics
from parley_backoffice.refusals import Refused
from parley_backoffice.settings import Settings

if TYPE_CHECKING:
    from parley_backoffice.adapters import Pool

_LARGEST_BODY = 64 * 1024
Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], None]


def utc_now() -> datetime:
    """The time of day, in UTC."""
    return datetime.now(UTC)


def build(settings: Settings, pool: Pool, clock: Clock = utc_now) -> Litestar:
    """The whole service around a pool that is not open yet; it is opened and closed with the application."""
    database, metrics = Database(pool, settings, clock), Metrics()
    customers = Router(
        "/v1/customers/{customer_id:str}",
        route_handlers=handlers.of_a_customer(),
        guards=[_token_guard(settings.token), _known_shapes],
        dependencies={"once": Provide(handlers.once, sync_to_thread=False)},
        security=[{"token": []}],
    )
    return Litestar(
        route_handlers=[customers, *handlers.of_the_operator()],
        dependencies={
            "database": Provide(lambda: database, sync_to_thread=False),
            "metrics": Provide(lambda: metrics, sync_to_thread=False),
        },
        exception_handlers=refusals.handlers(),
        lifespan=[lambda _: database.opened()],
        middleware=[metrics.middleware],
        openapi_config=_openapi(),
        request_max_body_size=_LARGEST_BODY,
        logging_config=None,
    )


def _token_guard(expected: str) -> Guard:
    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if not same_token(connection.headers.get("authorization"), expected):
            raise NotAuthorizedException("The header Authorization must carry the token of this service.")

    return guard


def _known_shapes(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    # PostgreSQL refuses some texts (NUL) with an error; what can't name an object is not asked for.
    if not all(is_reference(str(value)) for value in connection.path_params.values()):
        raise Refused(Refusal(404, "not_found", "There is no object with this name."))


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Back office",
        version="1",
        path="/schema",
        # Only the document: the viewers would load their scripts from elsewhere.
        render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        components=Components(security_schemes={"token": SecurityScheme(type="http", scheme="bearer")}),
    )
