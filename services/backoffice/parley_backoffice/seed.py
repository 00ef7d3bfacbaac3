"""The made-up company: 200 customers and what they have, the same on every machine.

Numbers decide what a customer is good for in a demonstration (see `profile_of` and `_latest`): everyone with an
odd number was charged twice for the latest order, every fourth has no subscription, every fifth router is offline.
Dates are relative to the day of the first start, so that return windows make sense.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Literal, NamedTuple

from msgspec import Struct, field

from parley_backoffice.records import Address, OrderItem

CUSTOMERS = 200
CURRENCY = "EUR"
Row = tuple[Any, ...]
Status = Literal["placed", "shipped", "delivered", "cancelled"]

_GIVEN = {
    "en": "Aoife Brendan Ciara Declan Emma Fiona George Hannah Isla Jack Kevin Laura Maeve Niall Orla Paul",
    "de": "Anna Bernd Clara David Eva Felix Greta Hannes Ida Jonas Katrin Lukas Mia Nils Paula Stefan",
    "fr": "Alice Bruno Camille Denis Elise Fabien Gabrielle Hugo Ines Jules Lea Mathis Nadia Olivier Remi Zoe",
}
_FAMILY = {
    "en": "Byrne Carroll Daly Egan Farrell Gallagher Hogan Kelly Lynch Murphy Nolan Quinn Reilly Walsh",
    "de": "Bauer Fischer Hoffmann Keller Lang Meyer Neumann Peters Richter Schulz Vogel Wagner Weber Zimmer",
    "fr": "Bernard Caron Dubois Faure Girard Lambert Martin Noel Perrin Renard Simon Tessier Vidal Weiss",
}
_STREETS = {
    "en": ["Harbour Road", "Mill Lane", "Castle Street", "Abbey Court"],
    "de": ["Lindenstraße", "Am Markt", "Gartenweg", "Schillerplatz"],
    "fr": ["rue des Lilas", "avenue du Parc", "place du Marché", "chemin Vert"],
}
_TOWNS = {
    "en": [("D02 X285", "Dublin"), ("T12 AB34", "Cork"), ("H91 CD56", "Galway")],
    "de": [("10115", "Berlin"), ("50667", "Köln"), ("80331", "München")],
    "fr": [("69002", "Lyon"), ("44000", "Nantes"), ("31000", "Toulouse")],
}
_COUNTRY = {"en": "IE", "de": "DE", "fr": "FR"}
# Ranges that the regulators of these countries keep free for fiction.
_PHONE = {"en": "+353 20 910 {:04d}", "de": "+49 30 23125 {:03d}", "fr": "+33 1 99 00 {:04d}"}

_GOODS = [
    ("RTR-200", "Fibre router FR-200", "129.00"),
    ("RTR-300", "Mesh router MR-300", "189.00"),
    ("EXT-010", "Wi-Fi extender WX-10", "49.90"),
    ("PHN-040", "Phone Aster 4", "349.00"),
    ("PHN-041", "Phone Aster 4 Mini", "279.00"),
    ("SPK-020", "Smart speaker Echoic 2", "79.90"),
    ("TVB-055", "Television Lumen 55", "599.00"),
    ("TVB-100", "TV stick Lumen Go", "39.90"),
    ("CHG-065", "Charger 65 W", "34.90"),
    ("CBL-002", "Network cable 2 m", "8.90"),
    ("HDP-007", "Headphones Calm 7", "119.00"),
    ("CSE-004", "Case for Aster 4", "24.90"),
]
_DEVICES = {
    "router": ("FR-200", "7.2.1", ("7.2.1", "7.1.4", "6.9.0")),
    "phone": ("Aster 4", "14.3", ("14.3", "14.1")),
    "speaker": ("Echoic 2", "2.8.0", ("2.8.0", "2.6.3")),
    "tv": ("Lumen 55", "5.0.2", ("5.0.2", "4.4.1")),
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
    "customers": "customer_id name email phone tier address language created_at",
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
    status: Status
    placed_at: datetime
    delivered_at: datetime | None
    returned: bool = False


def dataset(now: datetime) -> Dataset:
    """All the made-up rows as of `now`; the same for the same `now`."""
    now = now.replace(microsecond=0)
    data, numbers = Dataset(), _Numbers()
    for number in range(1, CUSTOMERS + 1):
        rng = random.Random(f"parley-backoffice-{number}")
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
    """The customer with this number: half speak English, the others German or French."""
    language = ("de", "en", "fr", "en")[number % 4]
    given, family = rng.choice(_GIVEN[language].split()), rng.choice(_FAMILY[language].split())
    postcode, city = rng.choice(_TOWNS[language])
    street, house = rng.choice(_STREETS[language]), rng.randint(1, 120)
    door = f"{street} {house}" if language == "de" else f"{house} {street}"
    address = Address(street=door, postcode=postcode, city=city, country=_COUNTRY[language])
    email = f"{given}.{family}.{number:04d}@example.com".lower()
    phone = _PHONE[language].format(number)
    tier = rng.choices(["standard", "silver", "gold"], weights=[6, 3, 1])[0]
    created_at = first_order - timedelta(days=rng.randint(1, 300))
    return (f"cus_{number:04d}", f"{given} {family}", email, phone, tier, address, language, created_at)


def _plans(rng: random.Random, number: int, now: datetime) -> list[_Plan]:
    """Two to five orders, oldest first; all but the latest are too old to be returned."""
    latest = _latest(rng, number, now)
    plans, placed_at = [latest], latest.placed_at
    for _ in range(rng.randint(1, 4)):
        placed_at -= timedelta(days=rng.randint(40, 90), minutes=rng.randint(0, 600))
        delivered_at = placed_at + timedelta(days=rng.randint(2, 5), minutes=rng.randint(0, 300))
        plans.append(_Plan(False, "delivered", placed_at, delivered_at))
    oldest = plans[-1]
    if number % 10 == 5:
        plans[-1] = oldest._replace(status="cancelled", delivered_at=None)
    elif number % 10 == 0:
        plans[-1] = oldest._replace(returned=True)
    return plans[::-1]


def _latest(rng: random.Random, number: int, now: datetime) -> _Plan:
    """The latest order: delivered and returnable (n % 4 is 0 or 1), shipped (2) or placed today (3)."""
    minutes = timedelta(minutes=rng.randint(30, 600))
    if number % 4 == 3:
        return _Plan(True, "placed", now - minutes, None)
    if number % 4 == 2:
        return _Plan(True, "shipped", now - timedelta(days=2) - minutes, None)
    placed_at = now - timedelta(days=rng.randint(6, 18)) - minutes
    return _Plan(True, "delivered", placed_at, placed_at + timedelta(days=rng.randint(2, 5)))


def _order(rng: random.Random, number: int, plan: _Plan, data: Dataset, numbers: _Numbers) -> None:
    customer_id, order_id = f"cus_{number:04d}", f"ORD-{next(numbers.orders)}"
    items = [
        OrderItem(sku, name, rng.choice([1, 1, 1, 2]), Decimal(price))
        for sku, name, price in rng.sample(_GOODS, rng.randint(1, 3))
    ]
    total = sum((item.unit_price * item.quantity for item in items), Decimal())
    on_its_way = plan.status in {"shipped", "delivered"}
    tracking = f"PX{rng.randrange(10**9):09d}EU" if on_its_way else None
    row = (order_id, customer_id, plan.status, items, total, CURRENCY, "Paxpost" if on_its_way else None, tracking)
    data.orders.append((*row, plan.placed_at, plan.delivered_at))
    _money(rng, number, plan, (order_id, total), data, numbers)
    if plan.returned and plan.delivered_at is not None:
        asked = plan.delivered_at + timedelta(days=3)
        send_by = (asked + timedelta(days=14)).date()
        request = (f"RET-{next(numbers.returns)}", customer_id, order_id, "received", "It was not what I expected.")
        data.returns.append((*request, send_by, asked))


def _money(
    rng: random.Random, number: int, plan: _Plan, sold: tuple[str, Decimal], data: Dataset, numbers: _Numbers
) -> None:
    customer_id, invoice_id, (order_id, total) = f"cus_{number:04d}", f"INV-{next(numbers.invoices)}", sold
    given_back = plan.returned or plan.status == "cancelled"
    method = rng.choice(["card", "card", "paypal", "sepa"])
    outcomes = _charges(number, plan, given_back)
    invoice_status = "void" if plan.status == "cancelled" else "paid"
    if outcomes == ["pending"]:
        invoice_status, method = "open", "sepa"
    due_on = (plan.placed_at + timedelta(days=14)).date()
    invoice = (invoice_id, customer_id, order_id, invoice_status, total, CURRENCY, plan.placed_at, due_on)
    data.invoices.append(invoice)
    for place, status in enumerate(outcomes):
        payment_id, at = f"PAY-{next(numbers.payments)}", plan.placed_at + timedelta(minutes=1 + 3 * place)
        refunded = total if status == "refunded" else Decimal(0)
        data.payments.append((payment_id, customer_id, invoice_id, total, refunded, CURRENCY, method, status, at))
        if status == "refunded":
            why = "Order returned" if plan.returned else "Order cancelled"
            row = (f"REF-{next(numbers.refunds)}", customer_id, payment_id, total, CURRENCY, why)
            data.refunds.append((*row, at + timedelta(days=1)))


def _charges(number: int, plan: _Plan, given_back: bool) -> list[str]:
    """How the invoice was collected: a latest order of an odd customer was charged twice by mistake."""
    if given_back:
        return ["refunded"]
    if not plan.latest:
        return ["captured"]
    if number % 2:
        return ["failed", "captured", "captured"] if number % 7 == 0 else ["captured", "captured"]
    return ["pending"] if number % 11 == 0 else ["captured"]


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
    return (f"cus_{number:04d}", "Plus", status, Decimal("9.90"), CURRENCY, started_on, ends_on)
