"""What the back office knows of a customer's money. Amounts are decimals, times are UTC."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec


class Payment(msgspec.Struct, frozen=True):
    """One attempt to collect an invoice; `refunded` is what was given back of it."""

    payment_id: str
    invoice_id: str
    order_id: str
    amount: Decimal
    refunded: Decimal
    currency: str
    method: str
    status: str
    created_at: datetime


class Invoice(msgspec.Struct, frozen=True):
    """What an order costs; `paid` is what was collected for it, less what was given back."""

    invoice_id: str
    order_id: str
    status: str
    total: Decimal
    paid: Decimal
    currency: str
    issued_at: datetime
    due_on: date


class Item(msgspec.Struct, frozen=True):
    name: str
    quantity: int
    unit_price: Decimal


class Order(msgspec.Struct, frozen=True):
    order_id: str
    items: list[Item]


class Refund(msgspec.Struct, frozen=True):
    refund_id: str
    payment_id: str
    amount: Decimal
    currency: str
    created_at: datetime


class Subscription(msgspec.Struct, frozen=True):
    """A membership by the month: it renews on `renews_on`, or ends on `ends_on` once it is cancelled."""

    plan: str
    price: Decimal
    currency: str
    started_on: date
    renews_on: date | None
    ends_on: date | None
