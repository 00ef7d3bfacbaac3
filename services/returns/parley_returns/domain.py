"""Where an order is, whether it can be cancelled or sent back, and how to say it. Pure.

Rules and times are those of the help pages: 'Return policy', 'Cancelling an order', 'Parcel is late', 'Holidays'.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from parley_returns.records import Item, Order, Payment, Refund, Return, Subscription
from parley_specialist.wording import day, here, money, several

NEWEST = 3
WINDOW_DAYS = 30
PLUS_WINDOW_DAYS = 60
TRIAL_NIGHTS = 45
ON_TRIAL = ("Gannet", "Wren", "Heron")
LATE_AFTER_WORKING_DAYS = 6

Reason = Literal["not stated", "changed mind", "faulty or damaged", "wrong item"]
FREE = {"faulty or damaged", "wrong item"}
ARRIVALS = "Refunds reach a card within 3 to 5 working days, PayPal within 1 working day and the Wallet within 2 hours."
RETURNED = {
    "on_its_way": "is on its way to us.",
    "arrived": "has arrived; we check it within 3 working days and then send the refund.",
    "checked": "is checked; the refund is sent on the same day.",
}


def what(items: Sequence[Item]) -> str:
    """'2 Case and Charger', at most three lines of an order."""
    named = [item.name if item.quantity == 1 else f"{item.quantity} x {item.name}" for item in items[:NEWEST]]
    return several([*named, "more"] if len(items) > NEWEST else named) or "no items"


def started(order: Order, now: datetime) -> str:
    """The beginning of every sentence about an order."""
    total = money(order.total, order.currency)
    return f"Your order {order.order_id} of {day(order.placed_at, now)} ({what(order.items)}, {total})"


def order_told(order: Order, now: datetime) -> str:
    """An order's state as a sentence, with the words of the help page 'Where is my order'."""
    start = started(order, now)
    if order.status == "received":
        return f"{start} is received but not packed yet."
    if order.status == "packed":
        return f"{start} is packed: it is being prepared in the warehouse."
    if order.status == "sent":
        return f"{start} was sent{_carried(order)} and is on its way."
    if order.status == "delivered" and order.delivered_at:
        return f"{start} was delivered on {day(order.delivered_at, now)}."
    return f"{start} {'was' if order.status == 'cancelled' else 'is'} {order.status}."


def _carried(order: Order) -> str:
    tracking = f", tracking number {order.tracking}," if order.tracking else ""
    return f" with {order.carrier}{tracking}" if order.carrier else ""


def next_step(order: Order, *, plus: bool, now: datetime) -> str:
    """What a customer can expect or do next with an order."""
    if order.status == "received":
        return "As long as it is not packed, you can still change or cancel it free of charge."
    if order.status == "packed":
        return "It can't be changed or cancelled any more; standard delivery takes 2 to 4 working days."
    if order.status == "sent" and late(order, now):
        return "That is longer than the usual 2 to 4 working days, so we can start a search with the courier."
    if order.status == "sent":
        return "Standard delivery takes 2 to 4 working days; the tracking link shows the newest date."
    if order.status == "delivered" and (last := last_day(order, plus=plus)):
        return f"You {'can' if here(now).date() <= last else 'could'} return it until {day(last, now)}."
    return "A cancelled order can't be restored, but you can place it again." if order.status == "cancelled" else ""


def late(order: Order, now: datetime) -> bool:
    """True 2 working days after the usual 4, when a search may start; working days are Monday to Friday."""
    passed = (here(now).date() - here(order.placed_at).date()).days
    days = (order.placed_at + timedelta(days=number) for number in range(1, min(passed, 30) + 1))
    return sum(1 for one in days if one.weekday() < 5) > LATE_AFTER_WORKING_DAYS


def has_plus(plan: Subscription | None, now: datetime) -> bool:
    """Benefits of Plus go on to the end of the period that is paid."""
    return plan is not None and (plan.ends_on is None or plan.ends_on >= here(now).date())


def last_day(order: Order, *, plus: bool) -> date | None:
    """The last day to return an order, or None before its delivery."""
    if order.delivered_at is None:
        return None
    window = PLUS_WINDOW_DAYS if plus else WINDOW_DAYS
    usual = here(order.delivered_at).date() + timedelta(days=window)
    bought = here(order.placed_at).date()
    if date(bought.year, 11, 1) <= bought <= date(bought.year, 12, 24):
        return max(usual, date(bought.year + 1, 1, 31))
    return usual


def return_refusal(order: Order, *, plus: bool, now: datetime) -> str:
    """Why an order can't be sent back yet or any more, or ''. Whether it was sent back already is left to the
    back office, which knows whether it was this very call.
    """
    last = last_day(order, plus=plus)
    if order.status == "cancelled":
        return f"Order {order.order_id} was cancelled, so there is nothing to send back."
    if order.status != "delivered" or last is None:
        return f"Order {order.order_id} has not been delivered yet; it can be returned once it has arrived."
    if here(now).date() <= last:
        return ""
    over = f"Order {order.order_id} could be returned until {day(last, now)}, so the time for a return is over."
    return f"{over} {_after_window(order, now)}"


def _after_window(order: Order, now: datetime) -> str:
    nights = (here(now).date() - here(order.delivered_at or now).date()).days
    if nights <= TRIAL_NIGHTS and any(item.name.startswith(ON_TRIAL) for item in order.items):
        return f"Its home trial of {TRIAL_NIGHTS} nights is still open: choose End trial under My account, Orders."
    return "If it is faulty, the warranty of 24 months still applies."


def return_booked(made: Return, reason: str, *, plus: bool, now: datetime) -> str:
    """What to say once a return is booked."""
    label = "The label comes by e-mail within 10 minutes"
    cost = "and is free for you" if plus or reason in FREE else "and costs £3.90, which we deduct from the refund"
    unless = ", unless it is faulty, damaged or the wrong item" if reason == "not stated" and not plus else ""
    return (
        f"The return {made.return_id} of order {made.order_id} is booked: please hand over the parcel by "
        f"{day(made.send_by, now)}. {label} {cost}{unless}. "
        "The refund reaches your card within 3 to 5 working days after we have checked the return."
    )


def return_told(made: Return, payments: Sequence[Payment], now: datetime) -> str:
    """A return's state as a sentence."""
    start = f"Your return {made.return_id} of order {made.order_id}, asked for on {day(made.created_at, now)},"
    if made.status == "requested":
        return _requested(start, made, now)
    back = [payment for payment in payments if payment.order_id == made.order_id and payment.refunded]
    if made.status == "refunded" and back:
        total = money(sum((payment.refunded for payment in back), Decimal(0)), back[0].currency)
        return f"{start} is checked, and {total} was refunded."
    return f"{start} {RETURNED.get(made.status, f'is {made.status}.')}"


def _requested(start: str, made: Return, now: datetime) -> str:
    if here(now).date() > made.send_by:
        return f"{start} has not arrived; the label was valid until {day(made.send_by, now)}."
    return f"{start} has not arrived yet; please hand over the parcel by {day(made.send_by, now)}."


def cancel_refusal(order: Order, *, plus: bool, now: datetime) -> str:
    """Why an order can't be cancelled any more, or ''."""
    if order.status in {"packed", "sent"}:
        days = PLUS_WINDOW_DAYS if plus else WINDOW_DAYS
        gone = f"was sent{_carried(order)}" if order.status == "sent" else "is packed already"
        return (
            f"Order {order.order_id} {gone} and can't be cancelled any more. "
            f"You can refuse the parcel at the door or return it within {days} days of delivery."
        )
    if order.status == "delivered":
        return f"{order_told(order, now)} It can't be cancelled any more. {next_step(order, plus=plus, now=now)}"
    return ""


def cancelled(order_id: str, refunds: Sequence[Refund]) -> str:
    """What to say once an order is cancelled."""
    start = f"Order {order_id} is cancelled, free of charge."
    if not refunds:
        return f"{start} Money that was only reserved is released today, and your bank shows it within 3 working days."
    told = several([f"{money(one.amount, one.currency)} ({one.refund_id})" for one in refunds])
    return f"{start} You get back {told}. {ARRIVALS}"
