from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_backoffice import domain
from parley_backoffice.domain import Refusal
from parley_backoffice.records import (
    Device,
    Order,
    OrderItem,
    OrderStatus,
    Payment,
    PaymentStatus,
    ProfileChange,
    RefundRequest,
    Subscription,
)

NOW = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


def payment(status: PaymentStatus = "captured", amount: str = "49.90") -> Payment:
    return Payment("PAY-1", "INV-1", "ORD-1", Decimal(amount), Decimal(0), "GBP", "card", status, NOW)


def order(status: OrderStatus, delivered_at: datetime | None = None) -> Order:
    item = OrderItem("SKU", "Thing", 1, Decimal("49.90"))
    return Order("ORD-1", status, [item], Decimal("49.90"), "GBP", None, None, NOW - timedelta(days=90), delivered_at)


def code(outcome: object) -> str | None:
    return outcome.code if isinstance(outcome, Refusal) else None


def test_a_refund_without_an_amount_is_of_all_that_was_paid() -> None:
    assert domain.refund_of(payment(), None) == Decimal("49.90")


@given(amount=st.decimals(allow_nan=True, allow_infinity=True), paid=st.decimals("0.01", "99999.99", places=2))
def test_whatever_is_asked_a_refund_is_above_zero_and_at_most_the_payment(amount: Decimal, paid: Decimal) -> None:
    outcome = domain.refund_of(payment(amount=str(paid)), amount)
    if isinstance(outcome, Refusal):
        assert (outcome.status, outcome.code) in {(422, "invalid_amount"), (422, "amount_above_payment")}
    else:
        assert outcome == amount
        assert 0 < outcome <= paid
        assert outcome.as_tuple().exponent == -2


@given(amount=st.decimals("0.01", "49.90", places=2))
def test_every_amount_in_cents_up_to_the_payment_can_be_refunded(amount: Decimal) -> None:
    assert domain.refund_of(payment(), amount) == amount


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("failed", "not_captured"),
        ("released", "not_captured"),
        ("pending", "not_captured"),
        ("refunded", "already_refunded"),
        ("partially_refunded", "already_refunded"),
    ],
)
def test_only_a_captured_payment_is_refunded(status: PaymentStatus, expected: str) -> None:
    outcome = domain.refund_of(payment(status), Decimal("1.00"))
    assert isinstance(outcome, Refusal)
    assert (outcome.status, outcome.code) == (409, expected)


def test_an_order_can_be_cancelled_only_before_it_is_packed() -> None:
    assert domain.cancellation_of(order("received")) is None
    assert code(domain.cancellation_of(order("packed"))) == "already_packed"
    assert code(domain.cancellation_of(order("sent"))) == "already_packed"
    assert code(domain.cancellation_of(order("delivered", NOW))) == "already_packed"
    assert code(domain.cancellation_of(order("cancelled"))) == "already_cancelled"


@pytest.mark.parametrize(
    ("days", "plus", "expected"),
    [
        (0, False, None),
        (30, False, None),
        (31, False, "return_window_closed"),
        (31, True, None),
        (60, True, None),
        (61, True, "return_window_closed"),
    ],
)
def test_a_return_is_possible_for_30_days_and_60_with_plus(days: int, plus: bool, expected: str | None) -> None:
    found = order("delivered", NOW - timedelta(days=days))
    assert code(domain.return_of(found, returned=False, plus=plus, today=NOW.date())) == expected


@pytest.mark.parametrize(
    ("bought", "plus", "last"),
    [
        (datetime(2026, 10, 31, 12, tzinfo=UTC), False, date(2026, 12, 2)),
        (datetime(2026, 11, 1, 12, tzinfo=UTC), False, date(2027, 1, 31)),
        (datetime(2026, 12, 24, 12, tzinfo=UTC), False, date(2027, 1, 31)),
        (datetime(2026, 12, 24, 12, tzinfo=UTC), True, date(2027, 2, 24)),
        (datetime(2026, 12, 25, 12, tzinfo=UTC), False, date(2027, 1, 26)),
    ],
)
def test_what_is_bought_before_christmas_can_be_returned_through_january(
    bought: datetime, plus: bool, last: date
) -> None:
    assert domain.last_day_to_return(bought, bought + timedelta(days=2), plus=plus) == last


def test_days_are_those_of_the_shop() -> None:
    late = datetime(2026, 5, 16, 23, 30, tzinfo=UTC)  # 00:30 on the 17th in London
    assert domain.shop_day(late) == date(2026, 5, 17)
    assert domain.last_day_to_return(late, late, plus=False) == date(2026, 6, 16)


@pytest.mark.parametrize(("ends_on", "has"), [(None, True), (date(2026, 3, 31), True), (date(2026, 3, 30), False)])
def test_plus_lasts_to_the_end_of_what_is_paid(ends_on: date | None, has: bool) -> None:
    status: Literal["active", "cancelled"] = "cancelled" if ends_on else "active"
    plan = Subscription("Plus", status, Decimal("5.99"), "GBP", date(2026, 1, 5), None, ends_on)
    assert domain.has_plus(plan, date(2026, 3, 31)) is has
    assert not domain.has_plus(None, date(2026, 3, 31))


@pytest.mark.parametrize("status", ["received", "packed", "sent", "cancelled"])
def test_only_a_delivered_order_is_returned(status: OrderStatus) -> None:
    assert code(domain.return_of(order(status), returned=False, plus=True, today=NOW.date())) == "not_delivered"


def test_an_order_is_returned_once() -> None:
    outcome = domain.return_of(order("delivered", NOW), returned=True, plus=True, today=NOW.date())
    assert code(outcome) == "already_returned"


def test_at_most_three_links_for_a_password_are_sent_in_an_hour() -> None:
    assert domain.reset_of(2) is None
    assert code(domain.reset_of(3)) == "too_many_resets"
    assert timedelta(minutes=30) == domain.RESET_LINK_LIVES


def test_a_device_that_is_offline_can_not_be_restarted_from_here() -> None:
    online = Device("DEV-1", "router", "Heron", "1", "1", "online", -50, NOW, None)
    assert domain.restart_of(online) is None
    offline = msgspec.structs.replace(online, status="offline", signal_dbm=None)
    assert code(domain.restart_of(offline)) == "device_offline"


@given(started=st.dates(date(2020, 1, 1), date(2030, 1, 1)), days=st.integers(0, 3000))
def test_a_plan_renews_within_a_month_and_always_on_the_same_day(started: date, days: int) -> None:
    today = started + timedelta(days=days)
    renews_on = domain.renewal_after(started, today)
    assert renews_on.day == min(started.day, 28)
    assert timedelta(0) < renews_on - today <= timedelta(days=calendar.monthrange(today.year, today.month)[1])


def test_a_cancelled_plan_ends_before_it_renews_and_is_not_cancelled_again() -> None:
    plan = Subscription("Plus", "active", Decimal("5.99"), "GBP", date(2026, 1, 5), date(2026, 4, 5), None)
    assert domain.end_of(plan) == date(2026, 4, 4)
    over = msgspec.structs.replace(plan, status="cancelled", renews_on=None, ends_on=date(2026, 4, 4))
    assert code(domain.end_of(over)) == "already_cancelled"


@pytest.mark.parametrize("email", ["a@b.example", "first.last+tag@mail.example.com", "o'neil@example.org"])
def test_an_email_address_is_accepted(email: str) -> None:
    assert domain.change_of(ProfileChange(email=email)) is None


@pytest.mark.parametrize(
    "email",
    ["a", "a@b", "a@@b.example", "a b@c.example", "a@b.example ", "a@b.example\n", "a@-b.example", "é@b.example",
     "a@b.example,c@d.example", "<a@b.example>", "@b.example", "a@b..example", "x" * 65 + "@b.example"],
)  # fmt: skip
def test_what_is_no_email_address_is_refused(email: str) -> None:
    assert code(domain.change_of(ProfileChange(email=email))) == "invalid_email"


@pytest.mark.parametrize("phone", ["+44 7700 900123", "0612345678", "+1 (202) 555-0100", "020 7946 0123"])
def test_a_phone_number_is_accepted(phone: str) -> None:
    assert domain.change_of(ProfileChange(phone=phone)) is None


@pytest.mark.parametrize("phone", ["12345", "+", "call 0612345678", "+44 7700 900123\n", "1" * 20, "١٢٣٤٥٦٧"])
def test_what_is_no_phone_number_is_refused(phone: str) -> None:
    assert code(domain.change_of(ProfileChange(phone=phone))) == "invalid_phone"


def test_the_fingerprint_differs_with_all_that_decides_the_effect() -> None:
    body = RefundRequest(reason="x", amount=Decimal("1.00"))
    calls = [
        domain.call_of("key", "refund", "/a", body),
        domain.call_of("key", "cancel", "/a", body),
        domain.call_of("key", "refund", "/b", body),
        domain.call_of("key", "refund", "/a", None),
        domain.call_of("key", "refund", "/a", RefundRequest(reason="x", amount=Decimal("2.00"))),
        domain.call_of("key", "refund", "/a", RefundRequest(reason="y", amount=Decimal("1.00"))),
    ]
    assert len({call.fingerprint for call in calls}) == len(calls)
    assert domain.call_of("other", "refund", "/a", body).fingerprint == calls[0].fingerprint


def test_a_stored_reply_is_given_again_only_to_the_same_call() -> None:
    call = domain.call_of("key", "refund", "/a", None)
    same = domain.replay_of(call, call.fingerprint, 201, '{"a":1}')
    other = domain.replay_of(call, "another", 201, '{"a":1}')
    assert (same.status, same.body, same.replayed) == (201, b'{"a":1}', True)
    assert (other.status, msgspec.json.decode(other.body)["code"], other.replayed) == (
        422, "idempotency_mismatch", False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Bearer right", True),
        ("bearer right", True),
        ("Bearer  right", True),
        ("Bearer wrong", False),
        ("Bearer righ", False),
        ("Bearer right2", False),
        ("Bearer é", False),
        ("Basic right", False),
        ("right", False),
        ("", False),
        (None, False),
    ],
)
def test_only_the_token_is_let_in(header: str | None, expected: bool) -> None:
    assert domain.same_token(header, "right") is expected


@pytest.mark.parametrize("text", ["cus_0001", "ORD-100001", "RET-1"])
def test_a_reference_can_name_an_object(text: str) -> None:
    assert domain.is_reference(text)


@pytest.mark.parametrize(
    "text", ["", "a.b", "*", ">", "../x", "cus_", "cus_0001\n", "cus_é", "cus_\0", "cus_" + "1" * 33]
)
def test_what_can_name_no_object_is_no_reference(text: str) -> None:
    assert not domain.is_reference(text)


def test_a_masked_address_shows_only_its_first_letter() -> None:
    assert domain.masked("orla.carroll@example.com") == "o***@example.com"


def test_the_wait_for_the_database_grows_to_five_seconds() -> None:
    waits = [domain.wait_before(attempt) for attempt in range(2000)]
    assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
    assert waits == sorted(waits)
    assert waits[-1] == 5.0
