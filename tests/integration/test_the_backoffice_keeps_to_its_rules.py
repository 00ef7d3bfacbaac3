from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from backoffice_company import Company

pytest_plugins = ("backoffice_fixtures",)


async def payments(company: Company, customer: str) -> list[dict[str, Any]]:
    return list((await company.get(f"{customer}/payments")).body["items"])


async def latest_order(company: Company, customer: str) -> dict[str, Any]:
    return dict((await company.get(f"{customer}/orders")).body["items"][0])


async def test_a_refund_gives_back_the_whole_payment(company: Company) -> None:
    second = (await payments(company, "cus_0001"))[0]
    status, refund, headers = await company.post(
        f"cus_0001/payments/{second['payment_id']}/refund", {"reason": "Charged twice"}
    )
    assert status == 201
    assert "Idempotent-Replayed" not in headers
    assert (refund["payment_id"], refund["amount"], refund["reason"]) == (
        second["payment_id"], second["amount"], "Charged twice",
    )  # fmt: skip
    assert (await company.get("cus_0001/refunds")).body == {"items": [refund]}
    after = (await payments(company, "cus_0001"))[0]
    assert after == second | {"status": "refunded", "refunded": second["amount"]}
    invoice = (await company.get("cus_0001/invoices")).body["items"][0]
    assert invoice["paid"] == invoice["total"]


async def test_an_invoice_whose_money_all_went_back_is_refunded(company: Company) -> None:
    assert (await company.get("cus_0010/invoices")).body["items"][-1]["status"] == "refunded"
    second, first = (await payments(company, "cus_0001"))[:2]
    for payment, status in ((second, "paid"), (first, "refunded")):
        await company.post(f"cus_0001/payments/{payment['payment_id']}/refund", {"reason": "x"})
        assert (await company.get("cus_0001/invoices")).body["items"][0]["status"] == status


async def test_a_part_of_a_payment_can_be_given_back_once(company: Company) -> None:
    payment = (await payments(company, "cus_0001"))[0]
    path = f"cus_0001/payments/{payment['payment_id']}/refund"
    status, refund, _ = await company.post(path, {"reason": "Scratched", "amount": "5.50"})
    assert (status, refund["amount"]) == (201, "5.50")
    after = (await payments(company, "cus_0001"))[0]
    assert (after["status"], after["refunded"]) == ("partially_refunded", "5.50")
    status, problem, _ = await company.post(path, {"reason": "More", "amount": "1.00"})
    assert (status, problem["code"]) == (409, "already_refunded")


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("-1.00", "invalid_amount"),
        (-1, "invalid_amount"),
        (0, "invalid_amount"),
        ("0.001", "invalid_amount"),
        ("NaN", "invalid_amount"),
        ("-Infinity", "invalid_amount"),
        ("Infinity", "invalid_amount"),
        ("sNaN", "invalid_amount"),
        ("1e999999", "amount_above_payment"),
        ("1000000.00", "amount_above_payment"),
    ],
)
async def test_an_amount_that_can_not_be_is_refused(company: Company, amount: object, code: str) -> None:
    before = await payments(company, "cus_0001")
    path = f"cus_0001/payments/{before[0]['payment_id']}/refund"
    status, problem, _ = await company.post(path, {"reason": "x", "amount": amount})
    assert (status, problem["code"]) == (422, code)
    assert set(problem) == {"code", "message"}
    assert problem["message"].endswith(".")
    assert await payments(company, "cus_0001") == before
    assert (await company.get("cus_0001/refunds")).body == {"items": []}


async def test_a_cent_more_than_was_paid_is_refused_and_all_of_it_is_not(company: Company) -> None:
    payment = (await payments(company, "cus_0002"))[0]
    path = f"cus_0002/payments/{payment['payment_id']}/refund"
    more = str(Decimal(payment["amount"]) + Decimal("0.01"))
    assert (await company.post(path, {"reason": "x", "amount": more})).body["code"] == "amount_above_payment"
    assert (await company.post(path, {"reason": "x", "amount": payment["amount"]})).status == 201


async def test_money_that_never_came_is_not_given_back(company: Company) -> None:
    failed = next(payment for payment in await payments(company, "cus_0007") if payment["status"] == "failed")
    pending = next(payment for payment in await payments(company, "cus_0022") if payment["status"] == "pending")
    for customer, payment in (("cus_0007", failed), ("cus_0022", pending)):
        path = f"{customer}/payments/{payment['payment_id']}/refund"
        status, problem, _ = await company.post(path, {"reason": "x"})
        assert (status, problem["code"]) == (409, "not_captured")


async def test_a_payment_that_does_not_exist_is_not_found(company: Company) -> None:
    status, problem, _ = await company.post("cus_0001/payments/PAY-1/refund", {"reason": "x"})
    assert (status, problem["code"]) == (404, "not_found")


async def test_an_order_that_was_received_is_cancelled_and_paid_back(company: Company) -> None:
    order = await latest_order(company, "cus_0003")
    status, done, _ = await company.post(f"cus_0003/orders/{order['order_id']}/cancel")
    assert status == 200
    assert done["order"] == order | {"status": "cancelled"}
    assert [refund["amount"] for refund in done["refunds"]] == [order["total"]] * 2
    invoice = (await company.get("cus_0003/invoices")).body["items"][0]
    assert (invoice["status"], invoice["paid"]) == ("void", "0.00")
    status, problem, _ = await company.post(f"cus_0003/orders/{order['order_id']}/cancel")
    assert (status, problem["code"]) == (409, "already_cancelled")


async def test_cancelling_leaves_alone_what_was_given_back_before(company: Company) -> None:
    order = await latest_order(company, "cus_0003")
    second, first = (await payments(company, "cus_0003"))[:2]
    await company.post(f"cus_0003/payments/{second['payment_id']}/refund", {"reason": "Charged twice"})
    done = (await company.post(f"cus_0003/orders/{order['order_id']}/cancel")).body
    assert [refund["payment_id"] for refund in done["refunds"]] == [first["payment_id"]]
    assert len((await company.get("cus_0003/refunds")).body["items"]) == 2


async def test_cancelling_releases_what_was_only_reserved(company: Company) -> None:
    order = await latest_order(company, "cus_0014")
    assert (await payments(company, "cus_0014"))[0]["status"] == "pending"
    done = (await company.post(f"cus_0014/orders/{order['order_id']}/cancel")).body
    assert (done["order"]["status"], done["refunds"]) == ("cancelled", [])
    assert [payment["status"] for payment in await payments(company, "cus_0014")][:2] == ["released", "captured"]


@pytest.mark.parametrize("customer", ["cus_0001", "cus_0002", "cus_0006"])
async def test_an_order_that_was_packed_is_not_cancelled(company: Company, customer: str) -> None:
    order = await latest_order(company, customer)
    status, problem, _ = await company.post(f"{customer}/orders/{order['order_id']}/cancel")
    assert (status, problem["code"]) == (409, "already_packed")
    assert order["status"] in problem["message"]
    assert await latest_order(company, customer) == order


async def test_a_delivered_order_can_be_returned_once(company: Company) -> None:
    order = await latest_order(company, "cus_0001")
    wish = {"order_id": order["order_id"], "reason": "Too large"}
    status, accepted, _ = await company.post("cus_0001/returns", wish)
    assert (status, accepted["status"], accepted["order_id"]) == (201, "requested", order["order_id"])
    assert (await company.get("cus_0001/returns")).body == {"items": [accepted]}
    status, problem, _ = await company.post("cus_0001/returns", wish)
    assert (status, problem["code"]) == (409, "already_returned")


async def bought(company: Company, customer: str, on: datetime) -> dict[str, Any]:
    """The wish to return an order that arrived two days after it was bought."""
    order_id = (await latest_order(company, customer))["order_id"]
    bought = "UPDATE backoffice.orders SET placed_at = $1, delivered_at = $2 WHERE order_id = $3"
    await company.sql(bought, on, on + timedelta(days=2), order_id)
    return {"order_id": order_id, "reason": "x"}


@pytest.mark.parametrize(
    ("customer", "on", "end"),
    [
        ("cus_0004", datetime(2027, 2, 1, 12, tzinfo=UTC), datetime(2027, 3, 6, tzinfo=UTC)),  # 30 days
        ("cus_0001", datetime(2027, 2, 1, 12, tzinfo=UTC), datetime(2027, 4, 4, 23, tzinfo=UTC)),  # 60 with Plus
        ("cus_0004", datetime(2026, 11, 1, 12, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)),  # before Christmas
    ],
)
async def test_a_return_is_accepted_to_the_last_second_of_its_last_day(
    company: Company, customer: str, on: datetime, end: datetime
) -> None:
    wish = await bought(company, customer, on)
    company.clock.now = end
    status, problem, _ = await company.post(f"{customer}/returns", wish)
    assert (status, problem["code"]) == (409, "return_window_closed")
    company.clock.forward(seconds=-1)
    assert (await company.post(f"{customer}/returns", wish)).status == 201


async def test_a_cancelled_plus_counts_to_its_last_day(company: Company) -> None:
    wish = await bought(company, "cus_0001", datetime(2027, 2, 1, 12, tzinfo=UTC))
    ended = "UPDATE backoffice.subscriptions SET status = 'cancelled', ends_on = $1 WHERE customer_id = 'cus_0001'"
    await company.sql(ended, date(2027, 3, 10))
    company.clock.now = datetime(2027, 3, 11, tzinfo=UTC)
    assert (await company.post("cus_0001/returns", wish)).body["code"] == "return_window_closed"
    company.clock.forward(seconds=-1)
    assert (await company.post("cus_0001/returns", wish)).status == 201


@pytest.mark.parametrize("customer", ["cus_0002", "cus_0003"])
async def test_an_order_that_has_not_arrived_is_not_returned(company: Company, customer: str) -> None:
    order = await latest_order(company, customer)
    status, problem, _ = await company.post(f"{customer}/returns", {"order_id": order["order_id"], "reason": "x"})
    assert (status, problem["code"]) == (409, "not_delivered")


async def test_an_order_of_somebody_else_is_not_returned(company: Company) -> None:
    theirs = await latest_order(company, "cus_0001")
    status, problem, _ = await company.post("cus_0004/returns", {"order_id": theirs["order_id"], "reason": "x"})
    assert (status, problem["code"]) == (404, "not_found")
    assert (await company.get("cus_0001/returns")).body == {"items": []}


async def test_a_device_restarts_where_it_can_be_reached(company: Company) -> None:
    router = (await company.get("cus_0001/devices")).body["items"][0]
    status, restarted, _ = await company.post(f"cus_0001/devices/{router['device_id']}/restart")
    assert status == 200
    assert restarted["restarted_at"] is not None
    assert (await company.get(f"cus_0001/devices/{router['device_id']}")).body == restarted
    offline = (await company.get("cus_0005/devices")).body["items"][0]
    status, problem, _ = await company.post(f"cus_0005/devices/{offline['device_id']}/restart")
    assert (status, problem["code"]) == (409, "device_offline")


async def test_a_subscription_ends_the_day_before_it_would_renew(company: Company) -> None:
    renews_on = (await company.get("cus_0001/subscription")).body["renews_on"]
    status, plan, _ = await company.post("cus_0001/subscription/cancel")
    assert (status, plan["status"], plan["renews_on"]) == (200, "cancelled", None)
    assert company.clock.now.date().isoformat() <= plan["ends_on"] < renews_on
    assert (await company.get("cus_0001/subscription")).body == plan
    status, problem, _ = await company.post("cus_0001/subscription/cancel")
    assert (status, problem["code"]) == (409, "already_cancelled")
    assert (await company.post("cus_0004/subscription/cancel")).status == 404


async def test_a_ticket_is_opened_and_listed(company: Company) -> None:
    wish = {"subject": "Slow line", "body": "Every evening.\nSince Monday."}
    status, ticket, _ = await company.post("cus_0001/tickets", wish)
    assert status == 201
    assert {name: ticket[name] for name in ("subject", "body", "status")} == wish | {"status": "open"}
    assert (await company.get("cus_0001/tickets")).body == {"items": [ticket]}
    assert (await company.post("cus_9999/tickets", wish)).status == 404


async def test_a_password_reset_tells_only_a_masked_address(company: Company) -> None:
    email = (await company.get("cus_0001/profile")).body["email"]
    status, reset, _ = await company.post("cus_0001/password-reset")
    assert status == 202
    assert reset["sent_to"] == f"{email[0]}***@example.com"
    assert (await company.sql("SELECT sent_to FROM backoffice.password_resets"))[0]["sent_to"] == email
    lives = datetime.fromisoformat(reset["expires_at"]) - company.clock.now
    assert timedelta(minutes=29) < lives <= timedelta(minutes=30)
    assert (await company.post("cus_9999/password-reset")).status == 404


async def test_at_most_three_links_for_a_password_are_sent_in_an_hour(company: Company) -> None:
    replies = await asyncio.gather(*(company.post("cus_0001/password-reset") for _ in range(8)))
    assert sorted(reply.status for reply in replies) == [202] * 3 + [409] * 5
    assert {reply.body["code"] for reply in replies if reply.status == 409} == {"too_many_resets"}
    assert (await company.post("cus_0002/password-reset")).status == 202
    company.clock.forward(hours=1)
    assert (await company.post("cus_0001/password-reset")).status == 202


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({}, 422, "nothing_to_change"),
        ({"email": None}, 422, "nothing_to_change"),
        ({"email": "nobody"}, 422, "invalid_email"),
        ({"email": "a@b.example\nBcc: c@d.example"}, 422, "invalid_email"),
        ({"phone": "call me"}, 422, "invalid_phone"),
        ({"phone": "1"}, 422, "invalid_phone"),
        ({"account_type": "business"}, 400, "malformed_request"),
        ({"customer_id": "cus_0002"}, 400, "malformed_request"),
        ({"address": {"street": "x"}}, 400, "malformed_request"),
        ({"address": {"street": "x", "postcode": "1", "city": "y", "country": "Ireland"}}, 400, "malformed_request"),
        ({"email": 5}, 400, "malformed_request"),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(
    company: Company, change: object, status: int, code: str
) -> None:
    before = (await company.get("cus_0001/profile")).body
    refused = await company.patch("cus_0001/profile", change)
    assert (refused.status, refused.body["code"]) == (status, code)
    assert (await company.get("cus_0001/profile")).body == before


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b'{"subject": "x"}', b'{"subject": "", "body": "x"}',
        b'{"subject": "  ", "body": "x"}', b'{"subject": "a\\u0000b", "body": "x"}',
        b'{"subject": "\\ud800", "body": "x"}',
        b'{"subject": "x", "body": "x", "more": 1}', b"[" * 60_000, b'{"subject": ' * 5_000, b'{"subject": NaN}',
    ],
)  # fmt: skip
async def test_a_malformed_body_is_refused_and_opens_nothing(company: Company, data: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    status, problem, _ = await company.post("cus_0001/tickets", data=data, headers=headers)
    assert (status, problem["code"]) == (400, "malformed_request")
    assert problem["message"]
    assert (await company.get("cus_0001/tickets")).body == {"items": []}


async def test_a_huge_body_is_refused(company: Company) -> None:
    status, problem, _ = await company.post("cus_0001/tickets", {"subject": "x", "body": "x" * 70_000})
    assert (status, problem["code"]) == (413, "too_large")
    status, problem, _ = await company.post("cus_0001/tickets", {"subject": "x", "body": "x" * 5_000})
    assert (status, problem["code"]) == (400, "malformed_request")
