"""Larkfield, a made-up shop: 200 customers and what they have, the same on every machine.

Products, prices and the states of an order are those of the help pages. Numbers decide what a customer is good for in
a demonstration (see `_latest` and `_charges`): everyone with an odd number was charged twice for the latest order,
every fourth has no subscription, every fifth router is offline. Dates are relative to the day of the first start, so
that the time for a return makes sense.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple

from msgspec import Struct, field

from parley_backoffice.domain import TIME_TO_SEND, shop_day
from parley_backoffice.records import Address, OrderItem, OrderStatus

CUSTOMERS = 200
CURRENCY = "GBP"
Row = tuple[Any, ...]

_GIVEN = {
    "en": "Adam Beth Callum Daisy Elliot Freya George Hannah Isla Jack Kevin Laura Megan Nathan Olivia Priya Rhys Tom",
    "de": "Anna Bernd Clara David Eva Felix Greta Hannes Ida Jonas Katrin Lukas Mia Nils Paula Stefan",
    "fr": "Alice Bruno Camille Denis Elise Fabien Gabrielle Hugo Ines Jules Lea Mathis Nadia Olivier Remi Zoe",
}
_FAMILY = {
    "en": "Ashworth Barlow Clarke Davies Evans Fletcher Grant Hughes Iqbal Jones Kerr Lloyd Mason Patel Reid Shaw Webb",
    "de": "Bauer Fischer Hoffmann Keller Lang Meyer Neumann Peters Richter Schulz Vogel Wagner Weber Zimmer",
    "fr": "Bernard Caron Dubois Faure Girard Lambert Martin Noel Perrin Renard Simon Tessier Vidal Weiss",
}
_STREETS = ["Harbour Road", "Mill Lane", "Castle Street", "Abbey Court", "Station Road", "Orchard Close"]
_TOWNS = [
    ("BS3 1TF", "Bristol"),
    ("SE1 7QA", "London"),
    ("B4 6HQ", "Birmingham"),
    ("M4 1LE", "Manchester"),
    ("LS2 7DJ", "Leeds"),
    ("G2 3BX", "Glasgow"),
    ("CF10 1BH", "Cardiff"),
    ("BT1 5AA", "Belfast"),
]
# Ofcom keeps these mobile numbers free for fiction.
_PHONE = "+44 7700 900{:03d}"

# An order has one product and perhaps accessories; with £59 or more its delivery is free.
_PRODUCTS = [
    ("HRN-100", "Heron router", "119.00"),
    ("HRN-010", "Heron Mini", "69.00"),
    ("TRN-128", "Tern phone 128 GB", "329.00"),
    ("TRN-256", "Tern phone 256 GB", "389.00"),
    ("WRN-100", "Wren speaker", "59.00"),
    ("WRN-200", "Wren Max speaker", "129.00"),
    ("GNT-043", "Gannet TV 43 inches", "299.00"),
    ("GNT-055", "Gannet TV 55 inches", "549.00"),
    ("OWL-100", "Owl e-reader", "99.00"),
]
_ACCESSORIES = [
    ("CHG-065", "Charger 65 W", "29.00"),
    ("CBL-002", "Network cable 2 m", "8.00"),
    ("HDP-007", "Headphones", "89.00"),
    ("LMP-003", "Reading lamp", "35.00"),
    ("CSE-004", "Case for a Tern phone", "19.00"),
]
_DEVICES = {
    "router": ("Heron", "7.2.1", ("7.2.1", "7.1.4", "6.9.0")),
    "phone": ("Tern", "14.3", ("14.3", "14.1")),
    "speaker": ("Wren", "2.8.0", ("2.8.0", "2.6.3")),
    "tv": ("Gannet", "5.0.2", ("5.0.2", "4.4.1")),
    "e-reader": ("Owl", "3.4.0", ("3.4.0", "3.3.2")),
}
_MATTERS = [
    ("Slow connection in the evening", "Between eight and ten the connection drops to a tenth of its speed."),
    ("Invoice to another address", "Please send future invoices to the address of my office."),
    ("Parcel was damaged", "The box was open on one side when it arrived."),
]


class Dataset(Struct, frozen=True):
    """Rows for each table, in the order of the columns in `COLUMNS`."""

    customers: list[Row] = field(default_factory=list)
    orders: list[Row] = field(default_factory=list)
    invoices: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    refunds: list[Row] = field(default_factory=list)
    devices: list[Row] = field(default_factory=list)
    returns: list[Row] = field(default_factory=list)
    subscriptions: list[Row] = field(default_factory=list)
    tickets: list[Row] = field(default_factory=list)


COLUMNS = {
    "customers": "customer_id name email phone account_type address language created_at",
    "orders": "order_id customer_id status items total currency carrier tracking placed_at delivered_at",
    "invoices": "invoice_id customer_id order_id status total currency issued_at due_on",
    "payments": "payment_id customer_id invoice_id amount refunded currency method status created_at",
    "refunds": "refund_id customer_id payment_id amount currency reason created_at",
    "devices": "device_id customer_id kind model firmware latest_firmware status signal_dbm last_seen",
    "returns": "return_id customer_id order_id status reason send_by created_at",
    "subscriptions": "customer_id plan status price currency started_on ends_on",
    "tickets": "ticket_id customer_id subject body status created_at",
}


class _Numbers(Struct, frozen=True):
    orders: Iterator[int] = field(default_factory=lambda: count(100001))
    invoices: Iterator[int] = field(default_factory=lambda: count(200001))
    payments: Iterator[int] = field(default_factory=lambda: count(300001))
    devices: Iterator[int] = field(default_factory=lambda: count(400001))
    refunds: Iterator[int] = field(default_factory=lambda: count(500001))
    returns: Iterator[int] = field(default_factory=lambda: count(600001))
    tickets: Iterator[int] = field(default_factory=lambda: count(700001))


class _Plan(NamedTuple):
    """What happened to one order before the rows are written."""

    latest: bool
    status: OrderStatus
    placed_at: datetime
    delivered_at: datetime | None
    returned: bool = False


def dataset(now: datetime) -> Dataset:
    """All the made-up rows as of `now`; the same for the same `now`."""
    now = now.replace(microsecond=0)
    data, numbers = Dataset(), _Numbers()
    for number in range(1, CUSTOMERS + 1):
        rng = random.Random(f"larkfield-{number}")
        customer_id = f"cus_{number:04d}"
        plans = _plans(rng, number, now)
        data.customers.append(profile_of(rng, number, plans[0].placed_at))
        for plan in plans:
            _order(rng, number, plan, data, numbers)
        _devices(rng, number, now, data, numbers)
        if number % 4:
            data.subscriptions.append(_subscription(rng, number, now))
        if number % 6 == 0:
            subject, body = rng.choice(_MATTERS)
            row = (f"TIC-{next(numbers.tickets)}", customer_id, subject, body)
            data.tickets.append((*row, rng.choice(["open", "closed"]), now - timedelta(days=rng.randint(1, 40))))
    return data


def profile_of(rng: random.Random, number: int, first_order: datetime) -> Row:
    """The customer with this number: all live in the United Kingdom, one in ten speaks German or French."""
    language = {8: "de", 14: "fr"}.get(number % 20, "en")
    given, family = rng.choice(_GIVEN[language].split()), rng.choice(_FAMILY[language].split())
    postcode, city = rng.choice(_TOWNS)
    street = f"{rng.randint(1, 120)} {rng.choice(_STREETS)}"
    address = Address(street=street, postcode=postcode, city=city, country="GB")
    email = f"{given}.{family}.{number:04d}@example.com".lower()
    account_type = rng.choices(["standard", "business"], weights=[9, 1])[0]
    created_at = first_order - timedelta(days=rng.randint(1, 300))
    name, phone = f"{given} {family}", _PHONE.format(number)
    return (f"cus_{number:04d}", name, email, phone, account_type, address, language, created_at)


def _plans(rng: random.Random, number: int, now: datetime) -> list[_Plan]:
    """Two to five orders, oldest first; all but the latest are too old to be returned.

    Where n % 8 is 2, the second latest was delivered 40 to 55 days ago: it can be returned with Plus only.
    """
    latest = _latest(rng, number, now)
    plans, placed_at = [latest], latest.placed_at
    for place in range(rng.randint(1, 4)):
        days = rng.randint(44, 50) if place == 0 and number % 8 == 2 else rng.randint(70, 110)
        placed_at -= timedelta(days=days, minutes=rng.randint(0, 600))
        delivered_at = placed_at + timedelta(days=rng.randint(2, 4), minutes=rng.randint(0, 300))
        plans.append(_Plan(False, "delivered", placed_at, delivered_at))
    oldest = plans[-1]
    if number % 10 == 5:
        plans[-1] = oldest._replace(status="cancelled", delivered_at=None)
    elif number % 10 == 0:
        plans[-1] = oldest._replace(returned=True)
    return plans[::-1]


def _latest(rng: random.Random, number: int, now: datetime) -> _Plan:
    """The latest order by n % 4: delivered and returnable (0 and 1), received today (3), or on its way there (2)."""
    minutes = timedelta(minutes=rng.randint(10, 150))
    if number % 4 == 3 or number % 16 == 14:
        return _Plan(True, "received", now - minutes, None)
    if number % 16 == 6:
        return _Plan(True, "packed", now - timedelta(hours=12) - minutes, None)
    if number % 4 == 2:
        return _Plan(True, "sent", now - timedelta(days=2) - minutes, None)
    placed_at = now - timedelta(days=rng.randint(6, 18)) - minutes
    return _Plan(True, "delivered", placed_at, placed_at + timedelta(days=rng.randint(2, 4)))


def _order(rng: random.Random, number: int, plan: _Plan, data: Dataset, numbers: _Numbers) -> None:
    customer_id, order_id = f"cus_{number:04d}", f"ORD-{next(numbers.orders)}"
    chosen = [(*rng.choice(_PRODUCTS), 1)]
    chosen += [(*accessory, rng.choice([1, 1, 1, 2])) for accessory in rng.sample(_ACCESSORIES, rng.randint(0, 2))]
    items = [OrderItem(sku, name, quantity, Decimal(price)) for sku, name, price, quantity in chosen]
    total = sum((item.unit_price * item.quantity for item in items), Decimal())
    on_its_way = plan.status in {"sent", "delivered"}
    tracking = f"PX{rng.randrange(10**9):09d}GB" if on_its_way else None
    row = (order_id, customer_id, plan.status, items, total, CURRENCY, "Paxpost" if on_its_way else None, tracking)
    data.orders.append((*row, plan.placed_at, plan.delivered_at))
    _money(rng, number, plan, (order_id, total), data, numbers)
    if plan.returned and plan.delivered_at is not None:
        asked = plan.delivered_at + timedelta(days=3)
        request = (f"RET-{next(numbers.returns)}", customer_id, order_id, "refunded", "It stopped working.")
        data.returns.append((*request, shop_day(asked) + TIME_TO_SEND, asked))


def _money(
    rng: random.Random, number: int, plan: _Plan, sold: tuple[str, Decimal], data: Dataset, numbers: _Numbers
) -> None:
    customer_id, invoice_id, (order_id, total) = f"cus_{number:04d}", f"INV-{next(numbers.invoices)}", sold
    outcomes = _charges(number, plan)
    method = _method(rng, plan, outcomes)
    invoice_status = "void" if plan.status == "cancelled" else "open" if outcomes == ["pending"] else "paid"
    due_on = shop_day(plan.placed_at) + timedelta(days=14)
    invoice = (invoice_id, customer_id, order_id, invoice_status, total, CURRENCY, plan.placed_at, due_on)
    data.invoices.append(invoice)
    for place, status in enumerate(outcomes):
        payment_id, at = f"PAY-{next(numbers.payments)}", plan.placed_at + timedelta(minutes=1 + 3 * place)
        refunded = total if status == "refunded" else Decimal(0)
        data.payments.append((payment_id, customer_id, invoice_id, total, refunded, CURRENCY, method, status, at))
        if status == "refunded":
            data.refunds.append(
                (f"REF-{next(numbers.refunds)}", customer_id, payment_id, total, CURRENCY, *_given_back(plan))
            )


def _charges(number: int, plan: _Plan) -> list[str]:
    """How the invoice was collected: a latest order of an odd customer was charged twice by mistake."""
    if plan.returned or plan.status == "cancelled":
        return ["refunded"]
    if not plan.latest:
        return ["captured"]
    if number % 2:
        return ["failed", "captured", "captured"] if number % 7 == 0 else ["captured", "captured"]
    return ["pending"] if number % 8 == 6 else ["captured"]


def _method(rng: random.Random, plan: _Plan, outcomes: list[str]) -> str:
    """A card is charged when the parcel leaves: what was taken before that came from PayPal or the Wallet."""
    if outcomes == ["pending"]:
        return "card"
    return rng.choice(
        ["card", "card", "paypal", "wallet"] if plan.status in {"sent", "delivered"} else ["paypal", "wallet"]
    )


def _given_back(plan: _Plan) -> tuple[str, datetime]:
    """Why and when an order was refunded: a return after a week on its way and in our hands."""
    if plan.delivered_at is None:
        return "Order cancelled", plan.placed_at + timedelta(hours=1)
    return "Order returned", plan.delivered_at + timedelta(days=10)


def _devices(rng: random.Random, number: int, now: datetime, data: Dataset, numbers: _Numbers) -> None:
    for kind, (model, newest, versions) in _DEVICES.items():
        if kind != "router" and rng.random() < 0.4:
            continue
        offline = number % 5 == 0 if kind == "router" else rng.random() < 0.15
        since = timedelta(hours=rng.randint(2, 200)) if offline else timedelta(seconds=rng.randint(5, 240))
        signal = None if offline else rng.randint(-82, -41)
        row = (f"DEV-{next(numbers.devices)}", f"cus_{number:04d}", kind, model, rng.choice(versions), newest)
        data.devices.append((*row, "offline" if offline else "online", signal, now - since))


def _subscription(rng: random.Random, number: int, now: datetime) -> Row:
    started_on = (now - timedelta(days=rng.randint(40, 700))).date()
    ends_on = (now + timedelta(days=rng.randint(3, 25))).date() if number % 10 == 7 else None
    status = "active" if ends_on is None else "cancelled"
    return (f"cus_{number:04d}", "Plus", status, Decimal("5.99"), CURRENCY, started_on, ends_on)
