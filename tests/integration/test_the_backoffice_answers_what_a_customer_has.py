from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from backoffice_company import TOKEN, Company

pytest_plugins = ("backoffice_fixtures",)


async def test_a_profile_has_all_that_is_known_of_a_customer(company: Company) -> None:
    status, profile, _ = await company.get("cus_0001/profile")
    assert status == 200
    assert profile["customer_id"] == "cus_0001"
    assert profile["email"].endswith(".0001@example.com")
    assert set(profile) == {
        "customer_id", "name", "email", "phone", "account_type", "address", "language", "created_at",
    }  # fmt: skip
    assert set(profile["address"]) == {"street", "postcode", "city", "country"}
    assert datetime.fromisoformat(profile["created_at"]) < company.clock.now


async def test_a_profile_changes_only_where_it_was_asked_to(company: Company) -> None:
    before = (await company.get("cus_0001/profile")).body
    address = {"street": "1 New Road", "postcode": "BS1 4DJ", "city": "Bristol", "country": "GB"}
    changed = await company.patch("cus_0001/profile", {"email": "new@example.org", "address": address})
    assert changed.status == 200
    assert changed.body == before | {"email": "new@example.org", "address": address}
    assert (await company.get("cus_0001/profile")).body == changed.body
    assert (await company.patch("cus_0001/profile", {"phone": "+44 7700 900999"})).body == changed.body | {
        "phone": "+44 7700 900999"
    }


async def test_orders_come_newest_first_and_add_up(company: Company) -> None:
    status, page, _ = await company.get("cus_0001/orders")
    assert status == 200
    placed = [order["placed_at"] for order in page["items"]]
    assert placed == sorted(placed, reverse=True)
    assert 2 <= len(placed) <= 5
    for order in page["items"]:
        total = sum(Decimal(item["unit_price"]) * item["quantity"] for item in order["items"])
        assert Decimal(order["total"]) == total
        assert order["currency"] == "GBP"


async def test_one_order_is_the_same_as_in_the_list(company: Company) -> None:
    latest = (await company.get("cus_0001/orders")).body["items"][0]
    assert (await company.get(f"cus_0001/orders/{latest['order_id']}")).body == latest
    assert latest["status"] == "delivered"
    assert latest["tracking"]


async def test_an_invoice_that_was_paid_twice_says_so(company: Company) -> None:
    latest = (await company.get("cus_0001/invoices")).body["items"][0]
    assert Decimal(latest["paid"]) == 2 * Decimal(latest["total"])
    assert (await company.get(f"cus_0001/invoices/{latest['invoice_id']}")).body == latest
    once = (await company.get("cus_0002/invoices")).body["items"][0]
    assert once["paid"] == once["total"]


async def test_an_invoice_that_waits_for_its_money_is_open(company: Company) -> None:
    invoice = (await company.get("cus_0022/invoices")).body["items"][0]
    payment = (await company.get("cus_0022/payments")).body["items"][0]
    assert (invoice["status"], invoice["paid"]) == ("open", "0.00")
    assert (payment["status"], payment["invoice_id"]) == ("pending", invoice["invoice_id"])


async def test_payments_name_their_invoice_and_order(company: Company) -> None:
    first, second = (await company.get("cus_0001/payments", params={"limit": "2"})).body["items"]
    order = (await company.get("cus_0001/orders")).body["items"][0]
    assert first["order_id"] == second["order_id"] == order["order_id"]
    assert first["invoice_id"] == second["invoice_id"]
    assert {first["status"], second["status"]} == {"captured"}
    assert first["payment_id"] != second["payment_id"]
    assert first["amount"] == second["amount"] == order["total"]


async def test_devices_tell_their_state(company: Company) -> None:
    devices = (await company.get("cus_0001/devices")).body["items"]
    router = devices[0]
    assert router["kind"] == "router"
    assert router["status"] == "online"
    assert -120 < router["signal_dbm"] < 0
    assert (await company.get(f"cus_0001/devices/{router['device_id']}")).body == router
    offline = (await company.get("cus_0005/devices")).body["items"][0]
    assert (offline["status"], offline["signal_dbm"]) == ("offline", None)


async def test_returns_and_refunds_of_the_past_are_listed(company: Company) -> None:
    received = (await company.get("cus_0010/returns")).body["items"]
    refunds = (await company.get("cus_0010/refunds")).body["items"]
    assert [(entry["status"], len(refunds)) for entry in received] == [("refunded", 1)]
    assert (await company.get("cus_0001/returns")).body == {"items": []}
    assert (await company.get("cus_0001/refunds")).body == {"items": []}


async def test_a_subscription_renews_after_today(company: Company) -> None:
    status, plan, _ = await company.get("cus_0001/subscription")
    assert (status, plan["plan"], plan["status"], plan["price"]) == (200, "Plus", "active", "5.99")
    assert datetime.fromisoformat(plan["renews_on"]).date() > company.clock.now.date()
    company.clock.forward(days=400)
    later = (await company.get("cus_0001/subscription")).body
    assert datetime.fromisoformat(later["renews_on"]).date() > company.clock.now.date()


async def test_who_has_no_subscription_is_told_so(company: Company) -> None:
    status, problem, _ = await company.get("cus_0004/subscription")
    assert (status, problem["code"]) == (404, "not_found")


async def test_a_list_is_no_longer_than_its_limit(company: Company) -> None:
    assert len((await company.get("cus_0001/payments", params={"limit": "1"})).body["items"]) == 1
    for limit in ("0", "101", "x", "-1"):
        status, problem, _ = await company.get("cus_0001/payments", params={"limit": limit})
        assert (status, problem["code"]) == (400, "malformed_request")


LISTS = ["orders", "invoices", "payments", "refunds", "devices", "returns", "tickets"]


async def test_a_customer_who_does_not_exist_is_not_found(company: Company) -> None:
    for what in ["profile", "subscription", *LISTS]:
        for customer in ("cus_9999", "cus_0001'--", "cus_%00", "x" * 5000, "%2e%2e", "é"):
            status, problem, _ = await company.get(f"{customer}/{what}")
            assert (what, customer, status, problem["code"]) == (what, customer, 404, "not_found")


@pytest.mark.parametrize("what", ["orders", "invoices", "payments", "devices"])
async def test_an_object_of_another_customer_does_not_exist(company: Company, what: str) -> None:
    mine = (await company.get(f"cus_0001/{what}")).body["items"][0]
    reference = mine[f"{what.removesuffix('s')}_id"]
    action = {"orders": "/cancel", "payments": "/refund", "devices": "/restart"}.get(what)
    body = {"reason": "mine now"} if what == "payments" else None
    if what != "payments":
        assert (await company.get(f"cus_0002/{what}/{reference}")).status == 404
    if action:
        status, problem, _ = await company.post(f"cus_0002/{what}/{reference}{action}", body)
        assert (status, problem["code"]) == (404, "not_found")
    assert (await company.get(f"cus_0001/{what}")).body["items"][0] == mine


async def test_without_the_token_nothing_is_told(company: Company) -> None:
    wrong = [
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer é",
    ]
    for header in wrong:
        for path in ("cus_0001/profile", "cus_9999/profile", "cus_0001/orders/ORD-1"):
            status, problem, headers = await company.get(path, headers={"Authorization": header})
            assert (header, status, problem["code"]) == (header, 401, "unauthorized")
            assert headers["WWW-Authenticate"] == "Bearer"


async def test_the_operators_pages_need_no_token_and_name_no_customer(company: Company) -> None:
    await company.get("cus_0001/profile")
    await company.post("cus_0001/password-reset")
    live = await company.get("/livez", headers={"Authorization": ""})
    ready = await company.get("/readyz", headers={"Authorization": ""})
    numbers = await company.get("/metrics", headers={"Authorization": ""})
    assert (live.status, live.body) == (200, "alive")
    assert (ready.status, ready.body) == (200, {"status": "ready"})
    assert 'parley_backoffice_calls_total{name="reset_password",outcome="executed"} 1.0' in numbers.body
    assert 'route="/v1/customers/{customer_id}/profile",status="200"} 1.0' in numbers.body
    assert "cus_0001" not in numbers.body


async def test_the_document_names_every_endpoint(company: Company) -> None:
    document: dict[str, Any] = (await company.get("/schema/openapi.json")).body
    base = "/v1/customers/{customer_id}"
    told = {
        (method, path.removeprefix(base))
        for path, methods in document["paths"].items()
        if path.startswith(base)
        for method in methods
    }
    lists = {("get", f"/{name}") for name in ("profile", "subscription", *LISTS)}
    single = {("get", "/orders/{order_id}"), ("get", "/invoices/{invoice_id}"), ("get", "/devices/{device_id}")}
    changing = {
        ("patch", "/profile"),
        ("post", "/orders/{order_id}/cancel"),
        ("post", "/payments/{payment_id}/refund"),
        ("post", "/devices/{device_id}/restart"),
        ("post", "/returns"),
        ("post", "/subscription/cancel"),
        ("post", "/tickets"),
        ("post", "/password-reset"),
    }
    assert told == lists | single | changing
    for method, path in changing:
        parameters = document["paths"][base + path][method]["parameters"]
        assert "Idempotency-Key" in {parameter["name"] for parameter in parameters}


async def test_an_unknown_address_or_method_is_refused_in_the_same_form(company: Company) -> None:
    assert (await company.get("/nothing")).body["code"] == "not_found"
    status, problem, _ = await company.call("DELETE", "cus_0001/profile")
    assert (status, problem["code"]) == (405, "method_not_allowed")
