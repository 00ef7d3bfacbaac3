"""What the API says and is told; amounts are decimals written as strings ("49.90"), times are UTC."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")

# PostgreSQL can't store NUL in text; a text of spaces says nothing.
_WORDS = r"^[^\x00]*[^\s\x00][^\x00]*$"
Line = Annotated[str, Meta(min_length=1, max_length=200, pattern=_WORDS)]
Words = Annotated[str, Meta(min_length=1, max_length=4000, pattern=_WORDS)]
Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=_WORDS)]
Reference = Annotated[str, Meta(pattern=r"^[A-Za-z]{3}[-_][A-Za-z0-9]{1,32}$")]

AccountType = Literal["standard", "business"]
OrderStatus = Literal["received", "packed", "sent", "delivered", "cancelled"]
InvoiceStatus = Literal["open", "paid", "refunded", "void"]
PaymentMethod = Literal["card", "paypal", "wallet"]
PaymentStatus = Literal["captured", "pending", "failed", "released", "refunded", "partially_refunded"]
DeviceKind = Literal["router", "phone", "speaker", "tv", "e-reader"]
ReturnStatus = Literal["requested", "on_its_way", "arrived", "checked", "refunded"]


class Problem(Struct, frozen=True):
    """Why a call was not carried out: a stable code, and one sentence for a person."""

    code: str
    message: str


class Page(Struct, Generic[T], frozen=True):
    """The newest objects first, at most as many as `limit` asked for."""

    items: list[T]


class Address(Struct, frozen=True, forbid_unknown_fields=True):
    """A postal address; `country` is an ISO 3166 code of two letters."""

    street: Line
    postcode: Annotated[str, Meta(min_length=1, max_length=12, pattern=_WORDS)]
    city: Line
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$")]


class Profile(Struct, frozen=True):
    """A customer as the company knows them. Whether they have Plus, their subscription tells."""

    customer_id: str
    name: str
    email: str
    phone: str
    account_type: AccountType
    address: Address
    language: Literal["en", "de", "fr"]
    created_at: datetime


class ProfileChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What of a profile to change; a field that is absent stays."""

    email: Line | None = None
    phone: Line | None = None
    address: Address | None = None


class OrderItem(Struct, frozen=True):
    """One line of an order; `unit_price` in the order's currency."""

    sku: str
    name: str
    quantity: int
    unit_price: Decimal


class Order(Struct, frozen=True):
    """An order; carrier and tracking come with sending, `delivered_at` with delivery."""

    order_id: str
    status: OrderStatus
    items: list[OrderItem]
    total: Decimal
    currency: str
    carrier: str | None
    tracking: str | None
    placed_at: datetime
    delivered_at: datetime | None


class Invoice(Struct, frozen=True):
    """An invoice; `paid` is what was captured for it, less what was given back."""

    invoice_id: str
    order_id: str
    status: InvoiceStatus
    total: Decimal
    paid: Decimal
    currency: str
    issued_at: datetime
    due_on: date


class Payment(Struct, frozen=True):
    """One attempt to collect an invoice; `refunded` is what was given back of it.

    `pending` money is only reserved: a card is charged when the parcel leaves. It is `released` by a cancellation.
    """

    payment_id: str
    invoice_id: str
    order_id: str
    amount: Decimal
    refunded: Decimal
    currency: str
    method: PaymentMethod
    status: PaymentStatus
    created_at: datetime


class RefundRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A wish to give back a payment: all of it, or `amount`."""

    reason: Reason
    amount: Decimal | None = None


class Refund(Struct, frozen=True):
    """Money given back."""

    refund_id: str
    payment_id: str
    amount: Decimal
    currency: str
    reason: str
    created_at: datetime


class CancelledOrder(Struct, frozen=True):
    """A cancelled order, and what was given back of its payments."""

    order: Order
    refunds: list[Refund]


class Device(Struct, frozen=True):
    """A device at the customer's place; `signal_dbm` is null while it is offline."""

    device_id: str
    kind: DeviceKind
    model: str
    firmware: str
    latest_firmware: str
    status: Literal["online", "offline"]
    signal_dbm: int | None
    last_seen: datetime
    restarted_at: datetime | None


class ReturnRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A wish to send a delivered order back."""

    order_id: Reference
    reason: Reason


class Return(Struct, frozen=True):
    """A return of a whole order; `send_by` is the last day to hand over the parcel."""

    return_id: str
    order_id: str
    status: ReturnStatus
    reason: str
    send_by: date
    created_at: datetime


class Subscription(Struct, frozen=True):
    """The plan of a customer; it renews monthly on `renews_on`, or ends on `ends_on` once cancelled."""

    plan: str
    status: Literal["active", "cancelled"]
    price: Decimal
    currency: str
    started_on: date
    renews_on: date | None
    ends_on: date | None


class TicketRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A matter for people to look at."""

    subject: Line
    body: Words


class Ticket(Struct, frozen=True):
    """A matter that people look at."""

    ticket_id: str
    subject: str
    body: str
    status: Literal["open", "closed"]
    created_at: datetime


class PasswordReset(Struct, frozen=True):
    """A mail with a link to set a new password went out; `sent_to` is masked."""

    sent_to: str
    expires_at: datetime
