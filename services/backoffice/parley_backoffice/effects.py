"""Changing things: each function locks what it decides on, asks the rules, and writes.

Each runs in the transaction of its call and answers with the new record or with a Refusal.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from parley_backoffice import domain, queries
from parley_backoffice.domain import Refusal
from parley_backoffice.records import (
    CancelledOrder,
    Device,
    Order,
    PasswordReset,
    Payment,
    Profile,
    ProfileChange,
    Refund,
    RefundRequest,
    Return,
    ReturnRequest,
    Subscription,
    Ticket,
    TicketRequest,
)

if TYPE_CHECKING:
    from parley_backoffice.adapters import Connection


async def change_profile(
    connection: Connection, now: datetime, customer_id: str, change: ProfileChange
) -> Profile | Refusal:
    """Change email, phone or address."""
    if refusal := domain.change_of(change):
        return refusal
    update = """
        UPDATE backoffice.customers SET
            email = coalesce($2, email), phone = coalesce($3, phone), address = coalesce($4::jsonb, address)
        WHERE customer_id = $1
    """
    await connection.execute(update, customer_id, change.email, change.phone, change.address)
    return await queries.profile(connection, customer_id) or _no_customer(customer_id)


async def cancel_order(
    connection: Connection, now: datetime, customer_id: str, order_id: str
) -> CancelledOrder | Refusal:
    """Cancel an order before it is packed, void its invoice, release what was reserved and give back what was taken."""
    order = await queries.locked(connection, Order, customer_id, order_id)
    if order is None:
        return domain.missing("order", order_id)
    if refusal := domain.cancellation_of(order):
        return refusal
    await connection.execute("UPDATE backoffice.orders SET status = 'cancelled' WHERE order_id = $1", order_id)
    void = "UPDATE backoffice.invoices SET status = 'void' WHERE order_id = $1 RETURNING invoice_id"
    invoice_id = await connection.fetchval(void, order_id)
    release = "UPDATE backoffice.payments SET status = 'released' WHERE invoice_id = $1 AND status = 'pending'"
    await connection.execute(release, invoice_id)
    captured = """
        SELECT payment_id, amount, currency FROM backoffice.payments
        WHERE invoice_id = $1 AND status = 'captured' ORDER BY payment_id FOR UPDATE
    """
    refunds = [
        await _give_back(connection, now, customer_id, row["payment_id"], row["amount"], "Order cancelled")
        for row in await connection.fetch(captured, invoice_id)
    ]
    return CancelledOrder(msgspec.structs.replace(order, status="cancelled"), refunds)


async def refund_payment(
    connection: Connection, now: datetime, customer_id: str, payment_id: str, request: RefundRequest
) -> Refund | Refusal:
    """Give back a captured payment, wholly or in part, once."""
    payment = await queries.locked(connection, Payment, customer_id, payment_id)
    if payment is None:
        return domain.missing("payment", payment_id)
    amount = domain.refund_of(payment, request.amount)
    if isinstance(amount, Refusal):
        return amount
    return await _give_back(connection, now, customer_id, payment_id, amount, request.reason)


async def _give_back(
    connection: Connection, now: datetime, customer_id: str, payment_id: str, amount: Decimal, reason: str
) -> Refund:
    update = """
        UPDATE backoffice.payments SET refunded = $2,
            status = CASE WHEN $2 = amount THEN 'refunded' ELSE 'partially_refunded' END
        WHERE payment_id = $1 RETURNING currency
    """
    currency = await connection.fetchval(update, payment_id, amount)
    insert = """
        INSERT INTO backoffice.refunds (customer_id, payment_id, amount, currency, reason, created_at)
        VALUES ($1, $2, $3, $4, $5, $6) RETURNING refund_id
    """
    refund_id = await connection.fetchval(insert, customer_id, payment_id, amount, currency, reason, now)
    return Refund(refund_id, payment_id, amount, currency, reason, now)


async def restart_device(connection: Connection, now: datetime, customer_id: str, device_id: str) -> Device | Refusal:
    """Restart a device that can be reached."""
    device = await queries.locked(connection, Device, customer_id, device_id)
    if device is None:
        return domain.missing("device", device_id)
    if refusal := domain.restart_of(device):
        return refusal
    update = "UPDATE backoffice.devices SET restarted_at = $2, last_seen = $2 WHERE device_id = $1"
    await connection.execute(update, device_id, now)
    return msgspec.structs.replace(device, restarted_at=now, last_seen=now)


async def request_return(
    connection: Connection, now: datetime, customer_id: str, request: ReturnRequest
) -> Return | Refusal:
    """Accept a delivered order back, once, within the time for a return."""
    order = await queries.locked(connection, Order, customer_id, request.order_id)
    if order is None:
        return domain.missing("order", request.order_id)
    exists = "SELECT EXISTS (SELECT 1 FROM backoffice.returns WHERE order_id = $1)"
    returned = bool(await connection.fetchval(exists, request.order_id))
    today = domain.shop_day(now)
    plus = domain.has_plus(await queries.subscription(connection, customer_id, today), today)
    if refusal := domain.return_of(order, returned=returned, plus=plus, today=today):
        return refusal
    send_by = today + domain.TIME_TO_SEND
    insert = """
        INSERT INTO backoffice.returns (customer_id, order_id, status, reason, send_by, created_at)
        VALUES ($1, $2, 'requested', $3, $4, $5) RETURNING return_id
    """
    return_id = await connection.fetchval(insert, customer_id, request.order_id, request.reason, send_by, now)
    return Return(return_id, request.order_id, "requested", request.reason, send_by, now)


async def cancel_subscription(connection: Connection, now: datetime, customer_id: str) -> Subscription | Refusal:
    """End the plan on the day before it would renew."""
    plan = await queries.subscription(connection, customer_id, domain.shop_day(now), lock=True)
    if plan is None:
        return Refusal(404, "not_found", f"Customer {customer_id} has no subscription.")
    ends_on = domain.end_of(plan)
    if isinstance(ends_on, Refusal):
        return ends_on
    update = "UPDATE backoffice.subscriptions SET status = 'cancelled', ends_on = $2 WHERE customer_id = $1"
    await connection.execute(update, customer_id, ends_on)
    return msgspec.structs.replace(plan, status="cancelled", ends_on=ends_on, renews_on=None)


async def open_ticket(
    connection: Connection, now: datetime, customer_id: str, request: TicketRequest
) -> Ticket | Refusal:
    """Put a matter in front of people."""
    if await queries.profile(connection, customer_id) is None:
        return _no_customer(customer_id)
    insert = """
        INSERT INTO backoffice.tickets (customer_id, subject, body, status, created_at)
        VALUES ($1, $2, $3, 'open', $4) RETURNING ticket_id
    """
    ticket_id = await connection.fetchval(insert, customer_id, request.subject, request.body, now)
    return Ticket(ticket_id, request.subject, request.body, "open", now)


async def reset_password(connection: Connection, now: datetime, customer_id: str) -> PasswordReset | Refusal:
    """Send a link for a new password to the email on record; it is never told to the caller in full."""
    # The lock lets links to one customer be counted one after the other.
    record = "SELECT email FROM backoffice.customers WHERE customer_id = $1 FOR UPDATE"
    email = await connection.fetchval(record, customer_id)
    if email is None:
        return _no_customer(customer_id)
    lately = "SELECT count(*) FROM backoffice.password_resets WHERE customer_id = $1 AND created_at > $2"
    if refusal := domain.reset_of(await connection.fetchval(lately, customer_id, now - timedelta(hours=1))):
        return refusal
    reset = PasswordReset(domain.masked(email), now + domain.RESET_LINK_LIVES)
    insert = """
        INSERT INTO backoffice.password_resets (customer_id, sent_to, expires_at, created_at) VALUES ($1, $2, $3, $4)
    """
    await connection.execute(insert, customer_id, email, reset.expires_at, now)
    return reset


def _no_customer(customer_id: str) -> Refusal:
    return Refusal(404, "not_found", f"There is no customer {customer_id}.")
