from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from paper_backoffice import Answer, PaperBackoffice, use

from parley_billing import domain, tools
from parley_billing.records import Invoice, Payment
from parley_specialist.tools import Suggestion, ToolRefusedError

BEGIN = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)


def payment(number: int, order: int = 1, amount: str = "49.90", status: str = "captured", **more: Any) -> Payment:
    usual: dict[str, Any] = {
        "payment_id": f"PAY-30000{number}",
        "invoice_id": f"INV-20000{order}",
        "order_id": f"ORD-10000{order}",
        "amount": Decimal(amount),
        "refunded": Decimal(amount) if status == "refunded" else Decimal(0),
        "currency": "GBP",
        "method": "card",
        "status": status,
        "created_at": BEGIN + timedelta(minutes=number),
    }
    return Payment(**usual | more)


def invoice(order: int = 1, total: str = "49.90", status: str = "paid", paid: str = "99.80") -> Invoice:
    return Invoice(
        invoice_id=f"INV-20000{order}",
        order_id=f"ORD-10000{order}",
        status=status,
        total=Decimal(total),
        paid=Decimal(paid),
        currency="GBP",
        issued_at=BEGIN + timedelta(days=order),
        due_on=BEGIN.date(),
    )


def office(payments: list[Payment], invoices: list[Invoice], *, refund: str = "") -> PaperBackoffice:
    records: dict[str, Answer] = {
        "/payments": {"items": [msgspec.to_builtins(one) for one in payments]},
        "/invoices": {"items": [msgspec.to_builtins(one) for one in invoices]},
    }
    done = {"refund_id": "REF-550001", "payment_id": "x", "amount": "49.90", "currency": "GBP"}
    answers: dict[str, Answer] = {
        f"POST /payments/{one.payment_id}/refund": refund or done | {"created_at": NOW.isoformat()} for one in payments
    }
    return PaperBackoffice(records, answers)


def surplus(payments: list[Payment], invoices: list[Invoice]) -> list[str]:
    return [one.payment_id for found in domain.overcharges(payments, invoices) for one in found.surplus]


def test_of_two_payments_for_one_order_the_later_is_surplus() -> None:
    assert surplus([payment(2), payment(1)], [invoice()]) == ["PAY-300002"]


def test_of_three_the_two_later_ones_are_surplus() -> None:
    assert surplus([payment(1), payment(2), payment(3)], [invoice()]) == ["PAY-300003", "PAY-300002"]


@pytest.mark.parametrize("status", ["pending", "failed", "refunded"])
def test_a_second_payment_that_took_no_money_is_not_surplus(status: str) -> None:
    assert surplus([payment(1), payment(2, status=status)], [invoice()]) == []


def test_two_equal_parts_of_one_order_are_not_a_double_charge() -> None:
    assert surplus([payment(1), payment(2)], [invoice(total="99.80")]) == []


def test_equal_amounts_for_two_orders_are_not_a_double_charge() -> None:
    assert surplus([payment(1), payment(2, order=2)], [invoice(1), invoice(2)]) == []


def test_what_was_kept_for_a_void_invoice_is_surplus() -> None:
    assert surplus([payment(1)], [invoice(status="void")]) == ["PAY-300001"]


def test_a_payment_above_what_is_too_much_is_not_given_back_whole() -> None:
    assert surplus([payment(1), payment(2)], [invoice(total="79.80")]) == []


async def test_the_double_charge_is_told_with_order_payments_amount_and_day() -> None:
    backoffice = office([payment(2), payment(1)], [invoice()])
    result = await use(tools.find_duplicate_charges, backoffice)
    assert result.summary.startswith(
        "Your latest order ORD-100001 was charged twice: payments PAY-300001 and PAY-300002 of £49.90 on 3 November"
    )
    assert result.suggest == Suggestion("refund_payment", {"payment_id": "PAY-300002"})
    assert tools.refund_payment.check(msgspec.json.encode(result.suggest.arguments).decode())
    assert backoffice.sent == []


async def test_an_older_order_is_not_called_the_latest() -> None:
    backoffice = office([payment(2), payment(1)], [invoice(2, paid="49.90"), invoice(1)])
    assert "Your order ORD-100001 was charged twice" in (await use(tools.find_duplicate_charges, backoffice)).summary


async def test_a_refund_above_the_limit_is_not_suggested_but_passed_to_a_person() -> None:
    backoffice = office([payment(1, amount="500.01"), payment(2, amount="500.01")], [invoice(total="500.01")])
    result = await use(tools.find_duplicate_charges, backoffice)
    assert result.suggest is None
    assert "A refund above £500 has to be made by a person" in result.summary


async def test_a_pending_amount_is_explained_as_a_reservation() -> None:
    backoffice = office([payment(2, status="pending"), payment(1)], [invoice(paid="49.90")])
    result = await use(tools.find_duplicate_charges, backoffice)
    assert "PAY-300002" in result.summary
    assert "disappears within 3 working days" in result.summary
    assert result.suggest is None


async def test_a_double_charge_that_was_given_back_is_called_settled() -> None:
    backoffice = office([payment(2, status="refunded"), payment(1)], [invoice(paid="49.90")])
    result = await use(tools.find_duplicate_charges, backoffice)
    assert "was charged twice, but that is settled. Payment PAY-300002" in result.summary
    assert result.suggest is None


async def test_a_rest_that_no_payment_makes_up_goes_to_a_person() -> None:
    backoffice = office([payment(1), payment(2)], [invoice(total="79.80", paid="99.80")])
    summary = (await use(tools.find_duplicate_charges, backoffice)).summary
    assert summary == "For your order ORD-100001, £20.00 too much was taken. A person has to put this right."


async def test_without_payments_nothing_was_charged_twice() -> None:
    summary = (await use(tools.find_duplicate_charges, office([], []))).summary
    assert summary == "You have no payments, so nothing was charged twice."


async def test_the_later_payment_is_refunded_in_full() -> None:
    backoffice = office([payment(2), payment(1)], [invoice()])
    result = await use(tools.refund_payment, backoffice, '{"payment_id": "PAY-300002"}')
    assert backoffice.sent == [("POST /payments/PAY-300002/refund", {"reason": "Charged too much"})]
    assert result.summary == (
        "I have refunded £49.90 of payment PAY-300002; the refund is REF-550001. "
        "The money reaches your card within 3 to 5 working days."
    )


@pytest.mark.parametrize(
    ("method", "when"),
    [("paypal", "your PayPal account within 1 working day"), ("wallet", "your Larkfield Wallet within 2 hours")],
)
async def test_the_time_depends_on_how_it_was_paid(method: str, when: str) -> None:
    backoffice = office([payment(2, method=method), payment(1, method=method)], [invoice()])
    assert when in (await use(tools.refund_payment, backoffice, '{"payment_id": "PAY-300002"}')).summary


@pytest.mark.parametrize(
    ("payments", "invoices", "reason"),
    [
        ([payment(3), payment(2)], [invoice()], "There is no payment PAY-300001 on your account."),
        ([payment(2), payment(1)], [invoice()], "what was charged too much is PAY-300002."),
        ([payment(1)], [invoice(paid="49.90")], "was not charged twice"),
        ([payment(1, status="pending")], [invoice()], "still pending"),
        ([payment(1, status="failed")], [invoice()], "has failed: no money was taken"),
        ([payment(1, status="released")], [invoice()], "was released: no money was taken"),
        (
            [payment(1, amount="600.00", created_at=NOW), payment(2, amount="600.00")],
            [invoice(total="600.00")],
            "A refund above £500 has to be made by a person",
        ),
    ],
)
async def test_what_may_not_be_refunded_is_refused_before_anything_happens(
    payments: list[Payment], invoices: list[Invoice], reason: str
) -> None:
    backoffice = office(payments, invoices)
    with pytest.raises(ToolRefusedError) as refused:
        await use(tools.refund_payment, backoffice, '{"payment_id": "PAY-300001"}')
    assert reason in refused.value.message
    assert backoffice.sent == []


async def test_a_repeat_of_a_refund_reaches_the_back_office_which_knows_the_key() -> None:
    backoffice = office([payment(2, status="refunded"), payment(1)], [invoice(paid="49.90")])
    await use(tools.refund_payment, backoffice, '{"payment_id": "PAY-300002"}')
    assert len(backoffice.sent) == 1


async def test_the_back_offices_own_reason_is_passed_on() -> None:
    backoffice = office([payment(2), payment(1)], [invoice()], refund="Payment PAY-300002 was already refunded.")
    with pytest.raises(ToolRefusedError, match="already refunded"):
        await use(tools.refund_payment, backoffice, '{"payment_id": "PAY-300002"}')
