"""The company's rules: pure functions that answer with what to do, or with a Refusal.

They are those of the help pages: 'Return policy', 'Cancelling an order', 'Holidays', 'Forgotten or changed password'.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from parley_backoffice.records import Device, Order, Payment, Problem, ProfileChange, Subscription

RETURN_DAYS = 30
RETURN_DAYS_WITH_PLUS = 60
TIME_TO_SEND = timedelta(days=14)
RESET_LINK_LIVES = timedelta(minutes=30)
RESETS_AN_HOUR = 3

_REFERENCE = re.compile(r"[A-Za-z]{3}[-_][A-Za-z0-9]{1,32}")
_KEY = re.compile(r"[!-~]{1,255}")
# As in HTML's <input type=email>, with a dot demanded in the domain.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@(?:{_LABEL}\.)+[A-Za-z]{{2,63}}")
_PHONE = re.compile(r"\+?[0-9](?:[ ()/-]{0,2}[0-9]){5,18}")


class Refusal(Struct, frozen=True):
    """A rule says no: the HTTP status, a stable code, and one sentence for a person."""

    status: int
    code: str
    message: str


class Call(Struct, frozen=True):
    """A side-effecting call: what is asked for, under which idempotency key."""

    key: str
    name: str
    fingerprint: str


class Reply(Struct, frozen=True):
    """The answer to a call, as stored: HTTP status and JSON body."""

    status: int
    body: bytes
    replayed: bool = False


def same_token(given: str | None, expected: str) -> bool:
    """Whether an `Authorization` header carries the token; takes the same time wherever they differ."""
    scheme, _, token = (given or "").partition(" ")
    equal = hmac.compare_digest(token.strip().encode(), expected.encode())
    return equal and scheme.lower() == "bearer"


def is_reference(text: str) -> bool:
    """Whether a text can name an object at all (`cus_0001`, `ORD-100001`)."""
    return _REFERENCE.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether a text can be an idempotency key: 1 to 255 printable ASCII characters without spaces."""
    return _KEY.fullmatch(text) is not None


def call_of(key: str, name: str, target: str, body: Struct | None) -> Call:
    """A call with the fingerprint of all that decides its effect: name, target and body."""
    said = b"" if body is None else msgspec.json.encode(body)
    digest = hashlib.sha256(b"\0".join((name.encode(), target.encode(), said)))
    return Call(key=key, name=name, fingerprint=digest.hexdigest())


def reply_to(outcome: Struct, success: int) -> Reply:
    """What to answer and to store: the outcome with the status of success, or the refusal with its own."""
    if isinstance(outcome, Refusal):
        return Reply(outcome.status, msgspec.json.encode(Problem(outcome.code, outcome.message)))
    return Reply(success, msgspec.json.encode(outcome))


def replay_of(call: Call, fingerprint: str, status: int, body: str) -> Reply:
    """The stored first reply again, or the refusal of a key that was used for something else.

    Source: the Idempotency-Key HTTP Header Field (IETF draft, section 2.7): 422 where the payload differs.
    """
    if fingerprint == call.fingerprint:
        return Reply(status, body.encode(), replayed=True)
    message = "This Idempotency-Key was used for a different call; use a new key for this one."
    return reply_to(Refusal(422, "idempotency_mismatch", message), 422)


def missing(what: str, reference: str) -> Refusal:
    """The refusal for an object that this customer does not have."""
    return Refusal(404, "not_found", f"This customer has no {what} {reference}.")


def refund_of(payment: Payment, amount: Decimal | None) -> Decimal | Refusal:
    """How much of a payment to give back: `amount`, or all of it."""
    if payment.status in {"refunded", "partially_refunded"}:
        message = f"Payment {payment.payment_id} was already refunded ({payment.refunded} {payment.currency})."
        return Refusal(409, "already_refunded", message)
    if payment.status != "captured":
        message = f"Payment {payment.payment_id} is {payment.status}; only a captured payment can be refunded."
        return Refusal(409, "not_captured", message)
    return payment.amount if amount is None else _partial(payment, amount)


def _partial(payment: Payment, amount: Decimal) -> Decimal | Refusal:
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -2 or amount <= 0:
        message = "The amount must be more than zero, with at most two decimals."
        return Refusal(422, "invalid_amount", message)
    if amount > payment.amount:
        message = f"The amount is above the {payment.amount} {payment.currency} of payment {payment.payment_id}."
        return Refusal(422, "amount_above_payment", message)
    return amount.quantize(Decimal("0.01"))


def cancellation_of(order: Order) -> Refusal | None:
    """Why an order can't be cancelled any more, or None."""
    if order.status == "cancelled":
        return Refusal(409, "already_cancelled", f"Order {order.order_id} was already cancelled.")
    if order.status != "received":
        message = f"Order {order.order_id} is {order.status}; it can be cancelled only while it is received."
        return Refusal(409, "already_packed", message)
    return None


def shop_day(moment: datetime) -> date:
    """The day of a moment where the shop is."""
    return moment.astimezone(ZoneInfo("Europe/London")).date()


def has_plus(plan: Subscription | None, today: date) -> bool:
    """Whether the benefits of Plus apply: they go on to the end of the period that is paid."""
    return plan is not None and (plan.ends_on is None or plan.ends_on >= today)


def last_day_to_return(placed_at: datetime, delivered_at: datetime, *, plus: bool) -> date:
    """30 days from delivery, 60 with Plus; what was bought from 1 November to 24 December goes at least to 31 January.

    Counted in whole days where the shop is: the last day is one on which a return is still accepted.
    """
    usual = shop_day(delivered_at) + timedelta(days=RETURN_DAYS_WITH_PLUS if plus else RETURN_DAYS)
    bought = shop_day(placed_at)
    if date(bought.year, 11, 1) <= bought <= date(bought.year, 12, 24):
        return max(usual, date(bought.year + 1, 1, 31))
    return usual


def return_of(order: Order, *, returned: bool, plus: bool, today: date) -> Refusal | None:
    """Why an order can't be sent back, or None: only once, and until its last day."""
    if order.status != "delivered" or order.delivered_at is None:
        message = f"Order {order.order_id} is {order.status}; only a delivered order can be returned."
        return Refusal(409, "not_delivered", message)
    if returned:
        return Refusal(409, "already_returned", f"A return of order {order.order_id} already exists.")
    last = last_day_to_return(order.placed_at, order.delivered_at, plus=plus)
    if today > last:
        message = f"Order {order.order_id} could be returned until {last}; the time for a return is over."
        return Refusal(409, "return_window_closed", message)
    return None


def restart_of(device: Device) -> Refusal | None:
    """Why a device can't be restarted from here, or None."""
    if device.status == "offline":
        message = f"Device {device.device_id} is offline and can't be reached; it has to be restarted by hand."
        return Refusal(409, "device_offline", message)
    return None


def change_of(change: ProfileChange) -> Refusal | None:
    """Why a profile can't be changed so, or None."""
    if change.email is None and change.phone is None and change.address is None:
        return Refusal(422, "nothing_to_change", "The change names no field; give email, phone or address.")
    if change.email is not None and not _EMAIL.fullmatch(change.email):
        return Refusal(422, "invalid_email", "The email is not an address like name@example.com.")
    if change.phone is not None and not _PHONE.fullmatch(change.phone):
        return Refusal(422, "invalid_phone", "The phone number must have 6 to 19 digits, like +44 7700 900123.")
    return None


def reset_of(sent_within_an_hour: int) -> Refusal | None:
    """Why no link for a new password can be sent now, or None."""
    if sent_within_an_hour >= RESETS_AN_HOUR:
        message = f"{RESETS_AN_HOUR} links were sent within the last hour, which is the most; please try again later."
        return Refusal(409, "too_many_resets", message)
    return None


def end_of(subscription: Subscription) -> date | Refusal:
    """The last day of a subscription that is cancelled now: the day before it would renew."""
    if subscription.renews_on is None:
        return Refusal(409, "already_cancelled", f"The subscription already ends on {subscription.ends_on}.")
    return subscription.renews_on - timedelta(days=1)


def renewal_after(started_on: date, today: date) -> date:
    """The next monthly anniversary after today; a start after the 28th counts as the 28th."""
    day = min(started_on.day, 28)
    if today.day < day:
        return today.replace(day=day)
    return (today.replace(day=28) + timedelta(days=4)).replace(day=day)


def masked(email: str) -> str:
    """An email address that its owner recognises and nobody else can read."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}***@{domain}"


def wait_before(attempt: int) -> float:
    """Seconds before the next attempt to reach the database: 0.2, 0.4, 0.8 … at most 5."""
    return float(min(5.0, 0.2 * 2 ** min(attempt, 10)))
