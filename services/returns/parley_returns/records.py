"""What the back office knows of a customer's orders and returns. Amounts are decimals, times are UTC."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec


class Item(msgspec.Struct, frozen=True):
    name: str
    quantity: int


class Order(msgspec.Struct, frozen=True):
    """An order; carrier and tracking come with sending, `delivered_at` with delivery."""

    order_id: str
    status: str
    items: list[Item]
    total: Decimal
    currency: str
    carrier: str | None
    tracking: str | None
    placed_at: datetime
    delivered_at: datetime | None


class Refund(msgspec.Struct, frozen=True):
    refund_id: str
    amount: Decimal
    currency: str


class Cancelled(msgspec.Struct, frozen=True):
    """A cancelled order, and what was given back for it."""

    refunds: list[Refund]


class Payment(msgspec.Struct, frozen=True):
    """What was given back of a payment for an order."""

    order_id: str
    refunded: Decimal
    currency: str


class Return(msgspec.Struct, frozen=True):
    """A return of an order; `send_by` is the last day to hand over the parcel."""

    return_id: str
    order_id: str
    status: str
    send_by: date
    created_at: datetime


class Subscription(msgspec.Struct, frozen=True):
    ends_on: date | None
