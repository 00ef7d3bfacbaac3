"""One function per endpoint: what came in to the records and rules, and their answer out."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, TypeAlias, TypeVar

from litestar import MediaType, Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from parley_backoffice import effects, queries
from parley_backoffice.adapters import Database, Effect
from parley_backoffice.domain import Refusal, call_of, is_key, missing, shop_day
from parley_backoffice.metrics import Metrics
from parley_backoffice.records import (
    CancelledOrder,
    Device,
    Invoice,
    Order,
    Page,
    PasswordReset,
    Payment,
    Problem,
    Profile,
    ProfileChange,
    Refund,
    RefundRequest,
    Return,
    ReturnRequest,
    Subscription,
    Ticket,
    TicketRequest,
)
from parley_backoffice.refusals import Refused

T = TypeVar("T")
Q = TypeVar("Q", Order, Invoice, Payment, Refund, Device, Return, Ticket)
Reference: TypeAlias = FromPath[str]
Records: TypeAlias = NamedDependency[Database]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="At most as many")]
Incoming: TypeAlias = Request[Any, Any, Any]

_NO_KEY = Refusal(400, "idempotency_key_missing", "A call with an effect needs the header Idempotency-Key.")
_BAD_KEY = Refusal(
    400, "idempotency_key_invalid", "Idempotency-Key must be 1 to 255 printable ASCII characters without spaces."
)


class Once:
    """Carries out the call of one request under its idempotency key."""

    def __init__(self, request: Incoming, key: str, database: Database, metrics: Metrics) -> None:
        self._request = request
        self._key = key
        self._database = database
        self._metrics = metrics

    async def __call__(self, name: str, success: int, effect: Effect, body: Struct | None = None) -> Response[bytes]:
        """The reply of `effect`, now or from the first time; its status is `success` unless it is a refusal."""
        call = call_of(self._key, name, self._request.url.path, body)
        reply = await self._database.once(call, success, effect)
        self._metrics.count_call(name, reply.status, replayed=reply.replayed)
        headers = {"Idempotent-Replayed": "true"} if reply.replayed else {}
        return Response(reply.body, status_code=reply.status, media_type=MediaType.JSON, headers=headers)


def once(
    request: Incoming,
    database: Records,
    metrics: NamedDependency[Metrics],
    idempotency_key: Annotated[
        str | None, HeaderParameter(name="Idempotency-Key", description="1 to 255 printable ASCII characters")
    ] = None,
) -> Once:
    """The `Once` of a request. Refuses one without a usable key."""
    if not idempotency_key:
        raise Refused(_NO_KEY)
    if not is_key(idempotency_key):
        raise Refused(_BAD_KEY)
    return Once(request, idempotency_key, database, metrics)


def _answers(success: int, body: type) -> dict[int, ResponseSpec]:
    refused = {400: "Malformed", 404: "Not this customer's", 409: "Refused", 422: "Refused", 503: "Try again"}
    specs = {status: ResponseSpec(Problem, description=text) for status, text in refused.items()}
    return {success: ResponseSpec(body, description="Done, or done before"), **specs}


def _found(value: T | None, what: str, reference: str) -> T:
    if value is None:
        raise Refused(missing(what, reference))
    return value


async def _page(database: Database, kind: type[Q], customer_id: str, limit: int) -> Page[Q]:
    found = await database.read(lambda connection: queries.some(connection, kind, customer_id, limit))
    return Page(_customer(found, customer_id))


def _customer(value: T | None, customer_id: str) -> T:
    if value is None:
        raise Refused(Refusal(404, "not_found", f"There is no customer {customer_id}."))
    return value


async def _one(database: Database, kind: type[Q], customer_id: str, reference: str) -> Q:
    found = await database.read(lambda connection: queries.one(connection, kind, customer_id, reference))
    return _found(found, kind.__name__.lower(), reference)


@get("/profile")
async def get_profile(customer_id: Reference, database: Records) -> Profile:
    """The customer as the company knows them."""
    return _customer(await database.read(lambda connection: queries.profile(connection, customer_id)), customer_id)


@patch("/profile", responses=_answers(200, Profile))
async def change_profile(
    customer_id: Reference, data: JSONBody[ProfileChange], once: NamedDependency[Once]
) -> Response[bytes]:
    """Change email, phone or address; what is absent stays."""
    effect = partial(effects.change_profile, customer_id=customer_id, change=data)
    return await once("change_profile", 200, effect, data)


@get("/orders")
async def list_orders(customer_id: Reference, database: Records, limit: Limit = 50) -> Page[Order]:
    """Orders, the newest first."""
    return await _page(database, Order, customer_id, limit)


@get("/orders/{order_id:str}")
async def get_order(customer_id: Reference, order_id: Reference, database: Records) -> Order:
    """One order."""
    return await _one(database, Order, customer_id, order_id)


@post("/orders/{order_id:str}/cancel", status_code=200, responses=_answers(200, CancelledOrder))
async def cancel_order(customer_id: Reference, order_id: Reference, once: NamedDependency[Once]) -> Response[bytes]:
    """Cancel an order that is not packed yet; what was taken for it is refunded."""
    return await once("cancel_order", 200, partial(effects.cancel_order, customer_id=customer_id, order_id=order_id))


@get("/invoices")
async def list_invoices(customer_id: Reference, database: Records, limit: Limit = 50) -> Page[Invoice]:
    """Invoices, the newest first."""
    return await _page(database, Invoice, customer_id, limit)


@get("/invoices/{invoice_id:str}")
async def get_invoice(customer_id: Reference, invoice_id: Reference, database: Records) -> Invoice:
    """One invoice; `paid` above `total` means that it was paid twice."""
    return await _one(database, Invoice, customer_id, invoice_id)


@get("/payments")
async def list_payments(customer_id: Reference, database: Records, limit: Limit = 50) -> Page[Payment]:
    """Payments, the newest first."""
    return await _page(database, Payment, customer_id, limit)


@post("/payments/{payment_id:str}/refund", responses=_answers(201, Refund))
async def refund_payment(
    customer_id: Reference, payment_id: Reference, data: JSONBody[RefundRequest], once: NamedDependency[Once]
) -> Response[bytes]:
    """Give back a captured payment, wholly or in part, once."""
    effect = partial(effects.refund_payment, customer_id=customer_id, payment_id=payment_id, request=data)
    return await once("refund_payment", 201, effect, data)


@get("/refunds")
async def list_refunds(customer_id: Reference, database: Records, limit: Limit = 50) -> Page[Refund]:
    """Refunds, the newest first."""
    return await _page(database, Refund, customer_id, limit)


@get("/devices")
async def list_devices(customer_id: Reference, database: Records, limit: Limit = 50) -> Page[Device]:
    """Devices."""
    return await _page(database, Device, customer_id, limit)


@get("/devices/{device_id:str}")
async def get_device(customer_id: Reference, device_id: Reference, database: Records) -> Device:
    """One device."""
    return await _one(database, Device, customer_id, device_id)


@post("/devices/{device_id:str}/restart", status_code=200, responses=_answers(200, Device))
async def restart_device(customer_id: Reference, device_id: Reference, once: NamedDependency[Once]) -> Response[bytes]:
    """Restart a device that is online."""
    effect = partial(effects.restart_device, customer_id=customer_id, device_id=device_id)
    return await once("restart_device", 200, effect)


@get("/returns")
async def list_returns(customer_id: Reference, database: Records, limit: Limit = 50) -> Page[Return]:
    """Returns, the newest first."""
    return await _page(database, Return, customer_id, limit)


@post("/returns", responses=_answers(201, Return))
async def request_return(
    customer_id: Reference, data: JSONBody[ReturnRequest], once: NamedDependency[Once]
) -> Response[bytes]:
    """Send a delivered order back, once, within 30 days of its delivery, or 60 with Plus."""
    effect = partial(effects.request_return, customer_id=customer_id, request=data)
    return await once("request_return", 201, effect, data)


@get("/subscription")
async def get_subscription(customer_id: Reference, database: Records) -> Subscription:
    """The plan of the customer."""
    found = await database.read(
        lambda connection: queries.subscription(connection, customer_id, shop_day(database.now()))
    )
    if found is None:
        raise Refused(Refusal(404, "not_found", f"Customer {customer_id} has no subscription."))
    return found


@post("/subscription/cancel", status_code=200, responses=_answers(200, Subscription))
async def cancel_subscription(customer_id: Reference, once: NamedDependency[Once]) -> Response[bytes]:
    """End the plan on the day before it would renew."""
    return await once("cancel_subscription", 200, partial(effects.cancel_subscription, customer_id=customer_id))


@get("/tickets")
async def list_tickets(customer_id: Reference, database: Records, limit: Limit = 50) -> Page[Ticket]:
    """Tickets, the newest first."""
    return await _page(database, Ticket, customer_id, limit)


@post("/tickets", responses=_answers(201, Ticket))
async def open_ticket(
    customer_id: Reference, data: JSONBody[TicketRequest], once: NamedDependency[Once]
) -> Response[bytes]:
    """Put a matter in front of people."""
    return await once("open_ticket", 201, partial(effects.open_ticket, customer_id=customer_id, request=data), data)


@post("/password-reset", status_code=202, responses=_answers(202, PasswordReset))
async def reset_password(customer_id: Reference, once: NamedDependency[Once]) -> Response[bytes]:
    """Send a link for a new password to the email on record."""
    return await once("reset_password", 202, partial(effects.reset_password, customer_id=customer_id))


@get("/livez", media_type=MediaType.TEXT)
async def livez() -> str:
    """The process runs."""
    return "alive"


@get("/readyz")
async def readyz(database: Records) -> Response[dict[str, str]]:
    """Calls can be served; if not, why (503)."""
    reason = await database.why_not_ready()
    if reason is None:
        return Response({"status": "ready"})
    return Response({"status": "unready", "reason": reason}, status_code=503)


@get("/metrics", include_in_schema=False)
async def read_metrics(metrics: NamedDependency[Metrics]) -> Response[bytes]:
    """Counters and durations for Prometheus."""
    return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def of_a_customer() -> list[ControllerRouterHandler]:
    """The endpoints under /v1/customers/{customer_id}."""
    return [
        get_profile, change_profile, list_orders, get_order, cancel_order, list_invoices, get_invoice, list_payments,
        refund_payment, list_refunds, list_devices, get_device, restart_device, list_returns, request_return,
        get_subscription, cancel_subscription, list_tickets, open_ticket, reset_password,
    ]  # fmt: skip


def of_the_operator() -> list[ControllerRouterHandler]:
    """The endpoints that tell how the service is; they need no token and tell nothing of customers."""
    return [livez, readyz, read_metrics]
