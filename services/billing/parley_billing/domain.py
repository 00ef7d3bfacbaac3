"""What was charged too often, what may be given back, and how to say it. Pure.

Rules and times are those of the help pages: 'Charged twice for one order', 'How long a refund takes', 'Plus'.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from parley_billing.records import Invoice, Order, Payment, Refund, Subscription
from parley_specialist.wording import day, money, several

NEWEST = 3
REFUND_LIMIT = Decimal(500)
VAT_RATE = Decimal("0.20")
METHODS = {"card": "by card", "paypal": "with PayPal", "wallet": "from the Larkfield Wallet"}
STATES = {
    "captured": "is completed",
    "pending": "is pending",
    "failed": "has failed",
    "released": "was released",
    "refunded": "was refunded",
    "partially_refunded": "was refunded in part",
}
# Where the money goes, how long it takes at most in words and in working days ('How long a refund takes').
ARRIVALS = {
    "card": ("your card", "3 to 5 working days", 5),
    "paypal": ("your PayPal account", "1 working day", 1),
    "wallet": ("your Larkfield Wallet", "2 hours", 1),
}
RESERVED = (
    "A pending amount is only reserved: it is taken when the parcel leaves our warehouse, and one that is not taken "
    "disappears within 3 working days, although some banks need up to 7 days."
)
COLLECTED = {"captured", "refunded", "partially_refunded"}


class Overcharge(msgspec.Struct, frozen=True):
    """More was collected for an order than it costs: `payments` oldest first, `surplus` those to give back."""

    order_id: str
    payments: list[Payment]
    surplus: list[Payment]


def plan_name(plan: Subscription) -> str:
    return plan.plan if plan.plan.startswith("Larkfield") else f"Larkfield {plan.plan}"


def due(invoice: Invoice) -> Decimal:
    """What may be kept of the money for an invoice."""
    return Decimal(0) if invoice.status in {"void", "refunded"} else invoice.total


def overcharges(payments: Sequence[Payment], invoices: Sequence[Invoice]) -> list[Overcharge]:
    """The orders for which too much was collected, in the order of `invoices`.

    An order that is sent in two parts is charged in two parts, so equal amounts alone prove nothing:
    only what exceeds the invoice is surplus, and of equal payments the later one.
    """
    found = [_overcharge(invoice, _collected(payments, invoice)) for invoice in invoices]
    return [overcharge for overcharge in found if overcharge.surplus]


def _collected(payments: Sequence[Payment], invoice: Invoice) -> list[Payment]:
    mine = [p for p in payments if p.invoice_id == invoice.invoice_id and p.status in COLLECTED]
    return sorted(mine, key=lambda payment: (payment.created_at, payment.payment_id))


def _overcharge(invoice: Invoice, collected: list[Payment]) -> Overcharge:
    left = sum((payment.amount - payment.refunded for payment in collected), Decimal(0)) - due(invoice)
    kept = [payment for payment in collected if payment.status == "captured"]
    surplus: list[Payment] = []
    for payment in reversed(kept):
        if payment.amount <= left:
            surplus.append(payment)
            left -= payment.amount
    return Overcharge(invoice.order_id, kept, surplus)


def told(overcharge: Overcharge, *, latest: bool, now: datetime) -> str:
    """What happened to an order, as a sentence."""
    order = f"Your {'latest order' if latest else 'order'} {overcharge.order_id}"
    if len(overcharge.payments) == 1:
        return f"{order} costs nothing any more, but payment {_each(overcharge.payments[0], now)} was kept."
    times = "twice" if len(overcharge.payments) == 2 else f"{len(overcharge.payments)} times"
    return f"{order} was charged {times}: payments {_together(overcharge.payments, now)}."


def _each(payment: Payment, now: datetime) -> str:
    return f"{payment.payment_id} of {money(payment.amount, payment.currency)} on {day(payment.created_at, now)}"


def _together(payments: Sequence[Payment], now: datetime) -> str:
    facts = {(money(p.amount, p.currency), day(p.created_at, now)) for p in payments}
    if len(facts) > 1:
        return several([_each(payment, now) for payment in payments])
    ((amount, when),) = facts
    return f"{several([payment.payment_id for payment in payments])} of {amount} on {when}"


def remedy(overcharge: Overcharge) -> str:
    """What can be done about an order that was charged too much."""
    payment = overcharge.surplus[0]
    if payment.amount > REFUND_LIMIT:
        return f"{payment.payment_id} is one too many. {by_a_person(payment)}"
    later = "The later one" if len(overcharge.payments) > 1 else "This one"
    return f"{later}, {payment.payment_id}, can be refunded."


def by_a_person(payment: Payment) -> str:
    limit = money(REFUND_LIMIT, payment.currency).removesuffix(".00")
    return f"A refund above {limit} has to be made by a person; I can pass you on."


def unsettled(invoices: Sequence[Invoice]) -> str:
    """What to say of an order for which too much is left over that no whole payment makes up, or ''."""
    for invoice in invoices:
        if invoice.paid > due(invoice):
            more = money(invoice.paid - due(invoice), invoice.currency)
            return f"For your order {invoice.order_id}, {more} too much was taken. A person has to put this right."
    return ""


def no_invoice(wanted: str) -> str:
    """Why there is no invoice of that number, of that order's number, or 'latest' of all."""
    if wanted == "latest":
        return "You have no invoices yet."
    of = f"for order {wanted} on your account" if wanted.startswith("ORD-") else f"{wanted} of yours"
    return f"There is no invoice {of}."


def not_charged_twice(payments: Sequence[Payment], now: datetime) -> str:
    """What to say where nothing is surplus: a second amount may be reserved only, or given back already."""
    if not payments:
        return "You have no payments, so nothing was charged twice."
    pending = [payment for payment in payments if payment.status == "pending"]
    if pending:
        return f"None of your orders was charged twice. {payment_told(pending[0], now)} {RESERVED}"
    paid = {payment.invoice_id for payment in payments if payment.status == "captured"}
    back = [payment for payment in payments if payment.status == "refunded" and payment.invoice_id in paid]
    if back:
        return f"Your order {back[0].order_id} was charged twice, but that is settled. {payment_told(back[0], now)}"
    return f"None of your orders was charged twice. Your newest payment: {payment_told(payments[0], now)}"


def payment_told(payment: Payment, now: datetime) -> str:
    """One payment as a sentence."""
    how = METHODS.get(payment.method, f"by {payment.method}")
    state = STATES.get(payment.status, f"is {payment.status}")
    of = f"{money(payment.amount, payment.currency)} {how} for order {payment.order_id}"
    return f"Payment {payment.payment_id} of {of} on {day(payment.created_at, now)} {state}."


def refund_refusal(payment: Payment, payments: Sequence[Payment], invoices: Sequence[Invoice]) -> str:
    """Why a payment may not be given back here, or ''. One that was given back already is left to the back office,
    which knows whether it was this very call.
    """
    name = payment.payment_id
    if payment.status in {"refunded", "partially_refunded"}:
        return ""
    if payment.status == "pending":
        return f"Payment {name} is still pending, so there is nothing to refund yet. {RESERVED}"
    if payment.status != "captured":
        state = STATES.get(payment.status, f"is {payment.status}")
        return f"Payment {name} {state}: no money was taken, so there is nothing to refund."
    surplus = {p.payment_id for overcharge in overcharges(payments, invoices) for p in overcharge.surplus}
    if name not in surplus:
        return _not_surplus(payment, overcharges(payments, invoices))
    return by_a_person(payment) if payment.amount > REFUND_LIMIT else ""


def _not_surplus(payment: Payment, found: Sequence[Overcharge]) -> str:
    start = f"Payment {payment.payment_id} pays for order {payment.order_id}"
    for overcharge in found:
        if overcharge.order_id == payment.order_id:
            other = several([p.payment_id for p in overcharge.surplus])
            return f"{start}; what was charged too much is {other}."
    return (
        f"{start} and was not charged twice, so I can't refund it here. "
        "You can cancel an order before it is packed, or return it within 30 days, with Plus within 60."
    )


def arrival(method: str) -> str:
    """When money that was given back is there."""
    place, time, _ = ARRIVALS.get(method, ARRIVALS["card"])
    return f"reaches {place} within {time}"


def overdue(sent: datetime, method: str, now: datetime) -> bool:
    """True where the longest time of the help pages has passed; working days are Monday to Friday."""
    longest = ARRIVALS.get(method, ARRIVALS["card"])[2]
    passed = (now.date() - sent.date()).days
    days = (sent.date() + timedelta(days=number) for number in range(1, min(passed, 21) + 1))
    return sum(1 for one in days if one.weekday() < 5) > longest


def refund_told(refund: Refund, method: str, now: datetime) -> str:
    """One refund as a sentence."""
    amount, when = money(refund.amount, refund.currency), day(refund.created_at, now)
    start = f"Refund {refund.refund_id} of {amount} for payment {refund.payment_id} was sent on {when}"
    if not overdue(refund.created_at, method, now):
        return f"{start} and {arrival(method)}."
    place = ARRIVALS.get(method, ARRIVALS["card"])[0]
    return f"{start} and should have reached {place} by now."


def missing_refund(refund: Refund, method: str) -> str:
    """What to do about a refund that should be there."""
    if method != "card":
        return f"If you can't see it, we trace it within 2 working days; its reference is {refund.refund_id}."
    return (
        f"If you can't see it, ask your bank with the reference {refund.refund_id}; "
        "if the bank can't find it, we trace it within 2 working days."
    )


def invoice_told(invoice: Invoice, now: datetime) -> str:
    """One invoice as a sentence."""
    total = money(invoice.total, invoice.currency)
    start = f"Invoice {invoice.invoice_id} of {day(invoice.issued_at, now)} for order {invoice.order_id}"
    ends = {
        "open": f"over {total} is open and due on {day(invoice.due_on, now)}",
        "paid": f"over {total} is paid",
        "refunded": f"over {total} was refunded",
        "void": f"over {total} is void, so there is nothing to pay",
    }
    more = invoice.paid - due(invoice)
    extra = f", and {money(more, invoice.currency)} too much was taken" if more > 0 else ""
    return f"{start} {ends.get(invoice.status, f'over {total} is {invoice.status}')}{extra}."


def vat_in(total: Decimal) -> Decimal:
    """The VAT that a total includes: all prices include 20% ('Invoices, receipts and VAT')."""
    return (total * VAT_RATE / (1 + VAT_RATE)).quantize(Decimal("0.01"), ROUND_HALF_UP)


def explained(invoice: Invoice, order: Order) -> str:
    """What makes up the total of an invoice."""
    lines = [f"{i.quantity} x {i.name} at {money(i.unit_price, invoice.currency)}" for i in order.items]
    goods = sum((item.unit_price * item.quantity for item in order.items), Decimal(0))
    rest = invoice.total - goods
    if rest > 0:
        lines.append(f"{money(rest, invoice.currency)} for delivery and fees")
    less = f", less a discount of {money(-rest, invoice.currency)}" if rest < 0 else ""
    vat = money(vat_in(invoice.total), invoice.currency)
    made_of = several(lines) if lines else "no single items"
    return f"It is made up of {made_of}{less}. The total includes {vat} of VAT at 20%."


def plan_told(plan: Subscription, now: datetime) -> str:
    """A membership as sentences."""
    name = plan_name(plan)
    start = f"You have had {name} for {money(plan.price, plan.currency)} a month since {day(plan.started_on, now)}."
    if plan.ends_on:
        return f"{start} It is cancelled, and your benefits end on {day(plan.ends_on, now)}."
    renewal = f" It renews on {day(plan.renews_on, now)}." if plan.renews_on else ""
    return f"{start}{renewal} You can cancel it at any time without a fee."


def plan_ended(plan: Subscription, now: datetime) -> str:
    """What to say once a membership is cancelled."""
    until = f" Your benefits continue until {day(plan.ends_on, now)}." if plan.ends_on else ""
    return f"{plan_name(plan)} is cancelled, and there is no fee for that.{until} You will not be charged again."
