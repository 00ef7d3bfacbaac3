from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from paper_backoffice import AWAY, Answer, PaperBackoffice, use

from parley_billing import domain, tools
from parley_proto.errors import PermanentError
from parley_specialist import wording
from parley_specialist.tools import Tool, ToolRefusedError

NOW = datetime.now(UTC)


def payment(number: int, **more: Any) -> dict[str, Any]:
    return {
        "payment_id": f"PAY-30000{number}",
        "invoice_id": "INV-200001",
        "order_id": "ORD-100001",
        "amount": "49.90",
        "refunded": "0.00",
        "currency": "GBP",
        "method": "card",
        "status": "captured",
        "created_at": NOW.isoformat(),
    } | more


def invoice(number: int, **more: Any) -> dict[str, Any]:
    return {
        "invoice_id": f"INV-20000{number}",
        "order_id": f"ORD-10000{number}",
        "status": "paid",
        "total": "120.00",
        "paid": "120.00",
        "currency": "GBP",
        "issued_at": NOW.isoformat(),
        "due_on": "2030-05-14",
    } | more


def office(**records: list[dict[str, Any]]) -> PaperBackoffice:
    return PaperBackoffice({f"/{name}": {"items": items} for name, items in records.items()})


PLAN = {"plan": "Plus", "price": "5.99", "currency": "GBP", "started_on": "2024-02-03"}
RENEWING = PLAN | {"renews_on": "2030-12-03", "ends_on": None}
ENDING = PLAN | {"renews_on": None, "ends_on": "2030-12-02"}


async def test_only_the_three_newest_payments_are_told() -> None:
    result = await use(tools.list_payments, office(payments=[payment(4), payment(3), payment(2), payment(1)]))
    assert result.data == {"payments": ["PAY-300004", "PAY-300003", "PAY-300002"]}
    assert "PAY-300001" not in result.summary
    today = wording.day(NOW, NOW)
    assert f"Payment PAY-300004 of £49.90 by card for order ORD-100001 on {today} is completed." in result.summary


@pytest.mark.parametrize(
    ("status", "method", "words"),
    [
        ("captured", "paypal", "with PayPal for order ORD-100001"),
        ("pending", "card", "is pending. A pending amount is only reserved"),
        ("failed", "card", "has failed."),
        ("released", "card", "was released."),
        ("captured", "wallet", "from the Larkfield Wallet for order ORD-100001"),
        ("refunded", "card", "was refunded."),
        ("partially_refunded", "card", "was refunded in part."),
        ("disputed", "voucher", "by voucher for order ORD-100001"),
    ],
)
async def test_each_state_and_method_has_its_words(status: str, method: str, words: str) -> None:
    backoffice = office(payments=[payment(1, status=status, method=method)])
    assert words in (await use(tools.list_payments, backoffice)).summary


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"status": "open", "paid": "0.00"}, "over £120.00 is open and due on 14 May 2030."),
        ({}, "over £120.00 is paid."),
        ({"paid": "240.00"}, "is paid, and £120.00 too much was taken."),
        ({"status": "void", "paid": "0.00"}, "is void, so there is nothing to pay."),
        ({"status": "refunded", "paid": "0.00"}, "was refunded."),
        ({"currency": "EUR"}, "over €120.00 is paid."),
        ({"currency": "CHF"}, "over 120.00 CHF is paid."),
    ],
)
async def test_each_invoice_is_told_by_its_state(more: dict[str, Any], words: str) -> None:
    result = await use(tools.list_invoices, office(invoices=[invoice(1, **more)]))
    assert words in result.summary
    assert result.summary.endswith("You can download each as a PDF under My account, Orders, Invoice.")


ORDER: Answer = {
    "order_id": "ORD-100002",
    "items": [
        {"name": "Wren speaker", "quantity": 1, "unit_price": "59.00"},
        {"name": "Case", "quantity": 2, "unit_price": "28.53"},
    ],
}


async def test_an_invoice_is_explained_by_items_fees_and_vat() -> None:
    backoffice = office(invoices=[invoice(2), invoice(1)])
    backoffice.records["/orders/ORD-100002"] = ORDER
    result = await use(tools.explain_invoice, backoffice)
    assert (
        "It is made up of 1 x Wren speaker at £59.00, 2 x Case at £28.53 and £3.94 for delivery and fees. "
        "The total includes £20.00 of VAT at 20%."
    ) in result.summary
    assert result.data["invoice_id"] == "INV-200002"


async def test_a_discount_is_named() -> None:
    backoffice = office(invoices=[invoice(2, total="116.00")])
    backoffice.records["/orders/ORD-100002"] = ORDER
    assert "less a discount of £0.06" in (await use(tools.explain_invoice, backoffice)).summary


async def test_an_invoice_is_found_by_its_order() -> None:
    backoffice = office(invoices=[invoice(3), invoice(2), invoice(1)])
    backoffice.records["/orders/ORD-100002"] = ORDER
    result = await use(tools.explain_invoice, backoffice, '{"invoice_id": "ORD-100002"}')
    assert result.data == {"invoice_id": "INV-200002", "order_id": "ORD-100002"}


async def test_an_invoice_of_nobody_is_refused() -> None:
    backoffice = office(invoices=[invoice(1)])
    with pytest.raises(ToolRefusedError, match=r"There is no invoice for order ORD-999999 on your account\."):
        await use(tools.explain_invoice, backoffice, '{"invoice_id": "ORD-999999"}')
    with pytest.raises(ToolRefusedError, match=r"There is no invoice INV-999999 of yours\."):
        await use(tools.explain_invoice, backoffice, '{"invoice_id": "INV-999999"}')
    with pytest.raises(ToolRefusedError, match="no invoices yet"):
        await use(tools.explain_invoice, office(invoices=[]))


@pytest.mark.parametrize(
    ("method", "now", "late"),
    [
        ("card", datetime(2026, 11, 9, 12, tzinfo=UTC), False),  # Monday a week later: the fifth working day
        ("card", datetime(2026, 11, 10, 12, tzinfo=UTC), True),
        ("paypal", datetime(2026, 11, 3, 12, tzinfo=UTC), False),
        ("paypal", datetime(2026, 11, 4, 12, tzinfo=UTC), True),
        ("wallet", datetime(2026, 11, 2, 23, tzinfo=UTC), False),
        ("wallet", datetime(2026, 11, 4, 12, tzinfo=UTC), True),
        ("card", datetime(2030, 1, 1, tzinfo=UTC), True),
    ],
)
def test_a_refund_is_overdue_after_its_working_days(method: str, now: datetime, late: bool) -> None:
    sent = datetime(2026, 11, 2, 9, tzinfo=UTC)  # a Monday
    assert domain.overdue(sent, method, now) is late


async def test_a_fresh_refund_is_on_its_way_and_an_old_one_should_be_there() -> None:
    item = {"refund_id": "REF-550001", "payment_id": "PAY-300001", "amount": "49.90", "currency": "GBP"}
    fresh = office(refunds=[item | {"created_at": NOW.isoformat()}], payments=[payment(1)])
    assert "reaches your card within 3 to 5 working days." in (await use(tools.refund_status, fresh)).summary
    old = (NOW - timedelta(days=40)).isoformat()
    lost = office(refunds=[item | {"created_at": old}], payments=[payment(1)])
    summary = (await use(tools.refund_status, lost)).summary
    assert "should have reached your card by now." in summary
    assert "ask your bank with the reference REF-550001" in summary


async def test_a_refund_that_no_bank_knows_of_is_traced_by_us() -> None:
    old = (NOW - timedelta(days=40)).isoformat()
    item = {"refund_id": "REF-550001", "payment_id": "PAY-300001", "amount": "49.90", "currency": "GBP"}
    lost = office(refunds=[item | {"created_at": old}], payments=[payment(1, method="paypal")])
    summary = (await use(tools.refund_status, lost)).summary
    assert "should have reached your PayPal account by now." in summary
    assert "we trace it within 2 working days; its reference is REF-550001" in summary
    assert "bank" not in summary


async def test_without_refunds_the_way_of_a_return_is_explained() -> None:
    assert (await use(tools.refund_status, office(refunds=[], payments=[]))).summary.startswith("You have no refunds")


async def test_the_plan_is_told_with_price_and_renewal() -> None:
    summary = (await use(tools.subscription_details, PaperBackoffice({"/subscription": RENEWING}))).summary
    assert "Larkfield Plus for £5.99 a month since 3 February 2024. It renews on 3 December 2030." in summary
    summary = (await use(tools.subscription_details, PaperBackoffice({"/subscription": ENDING}))).summary
    assert "It is cancelled, and your benefits end on 2 December 2030." in summary
    summary = (await use(tools.subscription_details, PaperBackoffice({}))).summary
    assert summary == "You have no Larkfield Plus membership, so nothing is charged each month."


@pytest.mark.parametrize("tool", [tools.subscription_details, tools.cancel_subscription])
async def test_a_plan_that_can_not_be_read_is_not_said_to_be_missing(tool: Tool) -> None:
    backoffice = PaperBackoffice({"/subscription": AWAY})
    with pytest.raises(ToolRefusedError, match="can't reach your records"):
        await use(tool, backoffice)
    assert backoffice.sent == []


async def test_a_plan_is_cancelled_at_the_end_of_what_is_paid() -> None:
    backoffice = PaperBackoffice({"/subscription": RENEWING}, {"POST /subscription/cancel": ENDING})
    summary = (await use(tools.cancel_subscription, backoffice)).summary
    assert "Larkfield Plus is cancelled" in summary
    assert "continue until 2 December 2030" in summary
    assert backoffice.sent == [("POST /subscription/cancel", {})]


async def test_a_plan_that_was_never_there_or_is_over_is_not_cancelled_again() -> None:
    with pytest.raises(ToolRefusedError, match="no Larkfield Plus membership"):
        await use(tools.cancel_subscription, PaperBackoffice({}))
    over: dict[str, Answer] = {"POST /subscription/cancel": "The subscription already ends on 2030-12-02."}
    with pytest.raises(ToolRefusedError, match="cancelled already; your benefits end on 2 December 2030"):
        await use(tools.cancel_subscription, PaperBackoffice({"/subscription": ENDING}, over))


async def test_another_reason_not_to_cancel_is_passed_on() -> None:
    busy: dict[str, Answer] = {"POST /subscription/cancel": "Another call is busy with the same object; try again."}
    with pytest.raises(ToolRefusedError, match="busy"):
        await use(tools.cancel_subscription, PaperBackoffice({"/subscription": RENEWING}, busy))


async def test_records_of_an_unknown_form_become_one_sentence() -> None:
    unknown: list[Answer] = [{"items": [{"payment_id": 7}]}, {"rows": []}]
    for odd in unknown:
        with pytest.raises(ToolRefusedError, match=r"I can't read your records right now"):
            await use(tools.list_payments, PaperBackoffice({"/payments": odd}))


async def test_an_outcome_of_an_unknown_form_is_for_a_person() -> None:
    backoffice = PaperBackoffice({"/subscription": RENEWING}, {"POST /subscription/cancel": {"done": True}})
    with pytest.raises(PermanentError, match="a person has to check the outcome") as failed:
        await use(tools.cancel_subscription, backoffice)
    assert failed.value.code == "unreadable_answer"
    assert not isinstance(failed.value, ToolRefusedError)


def test_dates_are_british_and_carry_another_year() -> None:
    late = datetime(2026, 6, 30, 23, 30, tzinfo=UTC)
    assert wording.day(late, NOW.replace(year=2026, month=7, day=1)) == "1 July"
    assert wording.day(late.date(), datetime(2027, 1, 1, tzinfo=UTC)) == "30 June 2026"


def test_lists_and_amounts_are_written_as_one_says_them() -> None:
    assert [wording.several(parts) for parts in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "", "a", "a and b", "a, b and c",
    ]  # fmt: skip
    assert wording.money(domain.REFUND_LIMIT * 3, "GBP") == "£1,500.00"
