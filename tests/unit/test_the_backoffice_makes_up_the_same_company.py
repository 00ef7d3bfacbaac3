from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from parley_backoffice import seed
from parley_mesh.migrations import numbered

NOW = datetime(2026, 3, 31, 12, 0, 0, 5, tzinfo=UTC)
KNOWLEDGE = Path(__file__).parents[2] / "services" / "rag" / "parley_rag" / "knowledge"
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def company() -> Rows:
    data = seed.dataset(NOW)
    return {
        table: [dict(zip(columns.split(), row, strict=True)) for row in getattr(data, table)]
        for table, columns in seed.COLUMNS.items()
    }


def of_customers(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped = defaultdict(list)
    for row in rows:
        grouped[row["customer_id"]].append(row)
    return grouped


def number(customer_id: str) -> int:
    return int(customer_id.removeprefix("cus_"))


def test_it_is_the_same_every_time() -> None:
    assert seed.dataset(NOW) == seed.dataset(NOW)


def test_another_day_moves_the_dates_and_nothing_else() -> None:
    today, later = seed.dataset(NOW), seed.dataset(NOW + timedelta(days=1))
    assert [row[:8] for row in today.orders] == [row[:8] for row in later.orders]
    moved = {new[8] - old[8] for old, new in zip(today.orders, later.orders, strict=True)}
    assert moved == {timedelta(days=1)}


def test_there_are_two_hundred_customers_with_addresses_of_no_one(company: Rows) -> None:
    ids = [row["customer_id"] for row in company["customers"]]
    assert ids == [f"cus_{number:04d}" for number in range(1, 201)]
    assert len({row["email"] for row in company["customers"]}) == 200
    assert all(row["email"].endswith("@example.com") and row["email"].isascii() for row in company["customers"])


def test_all_live_in_the_united_kingdom_with_numbers_of_no_one(company: Rows) -> None:
    postcode = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]? [0-9][A-Z]{2}")
    for row in company["customers"]:
        assert row["address"].country == "GB"
        assert postcode.fullmatch(row["address"].postcode)
        assert re.fullmatch(r"\+44 7700 900[0-9]{3}", row["phone"])
    assert len({row["address"].city for row in company["customers"]}) == 8
    languages = Counter(row["language"] for row in company["customers"])
    assert languages == {"en": 180, "de": 10, "fr": 10}


def test_everything_is_in_pounds_and_plus_costs_what_the_help_pages_say(company: Rows) -> None:
    for table in ("orders", "invoices", "payments", "refunds", "subscriptions"):
        assert {row["currency"] for row in company[table]} == {"GBP"}
    assert {row["price"] for row in company["subscriptions"]} == {Decimal("5.99")}


def test_products_and_prices_are_those_of_the_help_pages(company: Rows) -> None:
    page = (KNOWLEDGE / "general" / "choosing-a-product.md").read_text("utf-8")
    sold = {(item.name, item.unit_price) for row in company["orders"] for item in row["items"]}
    ours = {(name, price) for name, price in sold if name.startswith(("Tern", "Heron", "Wren", "Gannet", "Owl"))}
    assert len(ours) == 9
    for name, price in ours:
        brand = name.split()[0]
        told = [sentence for sentence in page.split(". ") if brand in sentence and f"£{price:.0f}" in sentence]
        assert told, f"no help page says that the {name} costs £{price}"
    assert {row["model"] for row in company["devices"]} == {"Tern", "Heron", "Wren", "Gannet", "Owl"}


def test_every_order_is_delivered_without_a_fee(company: Rows) -> None:
    assert all(row["total"] >= 40 for row in company["orders"])


def test_each_has_two_to_five_orders_numbered_from_100001(company: Rows) -> None:
    counts = Counter(row["customer_id"] for row in company["orders"])
    assert len(counts) == 200
    assert set(counts.values()) == {2, 3, 4, 5}
    first, last = company["orders"][0]["order_id"], company["orders"][-1]["order_id"]
    assert (first, last) == ("ORD-100001", f"ORD-{100000 + len(company['orders'])}")


def test_every_order_adds_up_and_has_its_invoice(company: Rows) -> None:
    invoices = {row["order_id"]: row for row in company["invoices"]}
    for order in company["orders"]:
        assert order["total"] == sum(item.unit_price * item.quantity for item in order["items"])
        assert invoices[order["order_id"]]["total"] == order["total"]
    assert len(invoices) == len(company["orders"])


def test_odd_customers_were_charged_twice_for_their_latest_order_and_no_one_else(company: Rows) -> None:
    invoices = {row["invoice_id"]: row for row in company["invoices"]}
    captured = Counter(row["invoice_id"] for row in company["payments"] if row["status"] == "captured")
    twice = [invoices[invoice_id] for invoice_id, times in captured.items() if times == 2]
    assert max(captured.values()) == 2
    assert sorted(number(row["customer_id"]) for row in twice) == list(range(1, 201, 2))
    latest = {customer: rows[-1]["order_id"] for customer, rows in of_customers(company["orders"]).items()}
    assert all(row["order_id"] == latest[row["customer_id"]] for row in twice)


def test_money_on_a_card_is_taken_when_the_parcel_leaves(company: Rows) -> None:
    orders = {row["order_id"]: row["status"] for row in company["orders"]}
    status = {row["invoice_id"]: orders[row["order_id"]] for row in company["invoices"]}
    pending = [row for row in company["payments"] if row["status"] == "pending"]
    assert {number(row["customer_id"]) % 8 for row in pending} == {6}
    assert {(row["method"], status[row["invoice_id"]]) for row in pending} == {("card", "packed"), ("card", "received")}
    taken = [row for row in company["payments"] if row["status"] == "captured" and row["method"] == "card"]
    assert {status[row["invoice_id"]] for row in taken} == {"sent", "delivered"}


def test_only_latest_orders_can_still_be_returned_except_with_plus(company: Rows) -> None:
    open_to_return = {
        row["order_id"]: row["customer_id"]
        for row in company["orders"]
        if row["status"] == "delivered" and NOW - row["delivered_at"] <= timedelta(days=25)
    }
    assert {number(customer) % 4 for customer in open_to_return.values()} == {0, 1}
    assert len(open_to_return) == 100
    too_old = [row for row in company["orders"] if row["delivered_at"] and row["order_id"] not in open_to_return]
    assert all(NOW - row["delivered_at"] > timedelta(days=31) for row in too_old)
    with_plus = [row for row in too_old if NOW - row["delivered_at"] < timedelta(days=59)]
    assert [number(row["customer_id"]) for row in with_plus] == list(range(2, 201, 8))
    others = [row for row in too_old if row not in with_plus]
    assert all(NOW - row["delivered_at"] > timedelta(days=61) for row in others)


def test_there_are_orders_in_every_state_and_nothing_happens_in_the_future(company: Rows) -> None:
    assert {row["status"] for row in company["orders"]} == {"received", "packed", "sent", "delivered", "cancelled"}
    for table, column in (
        ("orders", "placed_at"), ("payments", "created_at"), ("refunds", "created_at"), ("customers", "created_at"),
        ("devices", "last_seen"), ("tickets", "created_at"), ("returns", "created_at"), ("invoices", "issued_at"),
    ):  # fmt: skip
        assert all(row[column] <= NOW for row in company[table])


def test_what_was_refunded_has_its_refund(company: Rows) -> None:
    refunds = {row["payment_id"]: row["amount"] for row in company["refunds"]}
    refunded = {row["payment_id"]: row["refunded"] for row in company["payments"] if row["refunded"] > Decimal(0)}
    assert refunds == refunded
    assert len(refunds) == 40
    asked = {row["customer_id"]: row["created_at"] for row in company["returns"]}
    back = {row["customer_id"]: row["created_at"] for row in company["refunds"] if row["reason"] == "Order returned"}
    assert asked.keys() == back.keys()
    assert all(asked[customer] < back[customer] for customer in asked)


def test_everyone_has_a_router_and_every_fifth_is_offline(company: Rows) -> None:
    routers = {number(row["customer_id"]): row["status"] for row in company["devices"] if row["kind"] == "router"}
    assert len(routers) == 200
    assert {number for number, status in routers.items() if status == "offline"} == set(range(5, 201, 5))
    assert {row["kind"] for row in company["devices"]} == {"router", "phone", "speaker", "tv", "e-reader"}
    assert all((row["signal_dbm"] is None) == (row["status"] == "offline") for row in company["devices"])


def test_every_fourth_has_no_subscription(company: Rows) -> None:
    have = {number(row["customer_id"]) for row in company["subscriptions"]}
    assert have == {number for number in range(1, 201) if number % 4}
    assert {row["status"] for row in company["subscriptions"]} == {"active", "cancelled"}


def test_the_migrations_are_numbered_without_gaps_and_hold_sql() -> None:
    found = numbered("parley_backoffice.migrations")
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert len(found) >= 2
    assert all("CREATE TABLE" in migration.sql for migration in found)
    assert len({migration.digest for migration in found}) == len(found)
