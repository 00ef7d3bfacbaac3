"""Reading: SQL to records. An object of another customer is as if it did not exist."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec import Struct

from parley_backoffice.domain import renewal_after
from parley_backoffice.records import (
    Device,
    Invoice,
    Order,
    Payment,
    Profile,
    Refund,
    Return,
    Subscription,
    Ticket,
)

if TYPE_CHECKING:
    from parley_backoffice.adapters import Connection

T = TypeVar("T", bound=Struct)
Q = TypeVar("Q", Order, Invoice, Payment, Refund, Device, Return, Ticket)

# What was paid, and with it whether all of it went back, is counted from the payments: no second truth to keep.
_INVOICES = """(
    SELECT i.invoice_id, i.customer_id, i.order_id, i.total, i.currency, i.issued_at, i.due_on, counted.paid,
        CASE WHEN i.status = 'paid' AND counted.paid = 0 THEN 'refunded' ELSE i.status END AS status
    FROM backoffice.invoices i, LATERAL (
        SELECT coalesce(sum(p.amount - p.refunded), 0.00) AS paid FROM backoffice.payments p
        WHERE p.invoice_id = i.invoice_id AND p.status IN ('captured', 'refunded', 'partially_refunded')
    ) counted
)"""
_PAYMENTS = """(
    SELECT p.*, i.order_id FROM backoffice.payments p JOIN backoffice.invoices i USING (invoice_id)
)"""


class _Kind(Struct, frozen=True):
    """Where records of a type live: table or subquery, key column, and what to order them by."""

    source: str
    key: str
    newest: str


_KINDS: dict[type, _Kind] = {
    Order: _Kind("backoffice.orders", "order_id", "placed_at DESC, order_id DESC"),
    Invoice: _Kind(_INVOICES, "invoice_id", "issued_at DESC, invoice_id DESC"),
    Payment: _Kind(_PAYMENTS, "payment_id", "created_at DESC, payment_id DESC"),
    Refund: _Kind("backoffice.refunds", "refund_id", "created_at DESC, refund_id DESC"),
    Device: _Kind("backoffice.devices", "device_id", "device_id"),
    Return: _Kind("backoffice.returns", "return_id", "created_at DESC, return_id DESC"),
    Ticket: _Kind("backoffice.tickets", "ticket_id", "created_at DESC, ticket_id DESC"),
}


async def profile(connection: Connection, customer_id: str) -> Profile | None:
    """The customer, or None."""
    select = f"SELECT {_columns(Profile)} FROM backoffice.customers WHERE customer_id = $1"
    row = await connection.fetchrow(select, customer_id)
    return None if row is None else msgspec.convert(dict(row), Profile)


async def some(connection: Connection, kind: type[Q], customer_id: str, limit: int) -> list[Q] | None:
    """The newest objects of a customer, or None where there is no such customer."""
    place = _KINDS[kind]
    select = (
        f"SELECT {_columns(kind)} FROM {place.source} AS found WHERE customer_id = $1 ORDER BY {place.newest} LIMIT $2"
    )
    rows = await connection.fetch(select, customer_id, limit)
    if not rows and await profile(connection, customer_id) is None:
        return None
    return [msgspec.convert(dict(row), kind) for row in rows]


async def one(connection: Connection, kind: type[Q], customer_id: str, reference: str) -> Q | None:
    """An object of a customer, or None."""
    place = _KINDS[kind]
    select = f"SELECT {_columns(kind)} FROM {place.source} AS found WHERE customer_id = $1 AND {place.key} = $2"
    row = await connection.fetchrow(select, customer_id, reference)
    return None if row is None else msgspec.convert(dict(row), kind)


async def locked(connection: Connection, kind: type[Q], customer_id: str, reference: str) -> Q | None:
    """An object of a customer that nobody else changes until the transaction ends, or None."""
    place = _KINDS[kind]
    table = {Order: "orders", Payment: "payments", Device: "devices"}[kind]
    lock = f"SELECT 1 FROM backoffice.{table} WHERE customer_id = $1 AND {place.key} = $2 FOR UPDATE"
    if await connection.fetchval(lock, customer_id, reference) is None:
        return None
    return await one(connection, kind, customer_id, reference)


async def subscription(
    connection: Connection, customer_id: str, today: date, *, lock: bool = False
) -> Subscription | None:
    """The plan of a customer with its next renewal after `today`, or None."""
    select = (
        "SELECT plan, status, price, currency, started_on, ends_on FROM backoffice.subscriptions "
        f"WHERE customer_id = $1 {'FOR UPDATE' if lock else ''}"
    )
    row = await connection.fetchrow(select, customer_id)
    if row is None:
        return None
    renews_on = renewal_after(row["started_on"], today) if row["status"] == "active" else None
    return Subscription(**row, renews_on=renews_on)


def _columns(kind: type[Struct]) -> str:
    return ", ".join(kind.__struct_fields__)
