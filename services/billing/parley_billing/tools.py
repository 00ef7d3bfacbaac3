"""What billing can look up and do. The customer comes from the session, never from an argument."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parley_billing import domain
from parley_billing.domain import NEWEST, REFUND_LIMIT
from parley_billing.records import Invoice, Order, Payment, Refund, Subscription
from parley_specialist.backoffice import NOT_FOUND
from parley_specialist.reading import now, read, read_list, send
from parley_specialist.tools import Suggestion, ToolContext, ToolRefusedError, ToolResult, tool
from parley_specialist.wording import day, money

PaymentId = Annotated[
    str, Meta(pattern=r"^PAY-[0-9]{1,12}$", description="the number of the payment, such as PAY-300001")
]
InvoiceId = Annotated[
    str,
    Meta(
        pattern=r"^((INV|ORD)-[0-9]{1,12}|latest)$",
        description="the number of the invoice or its order, such as INV-200001, or 'latest' for the newest one",
    ),
]


async def _payments(context: ToolContext) -> list[Payment]:
    return await read_list(context, "/payments", Payment)


async def _invoices(context: ToolContext) -> list[Invoice]:
    return await read_list(context, "/invoices", Invoice)


async def _plan(context: ToolContext) -> Subscription | None:
    try:
        return await read(context, "/subscription", Subscription)
    except ToolRefusedError as error:
        # Records that can't be read must not become "you have none".
        if error.code != NOT_FOUND:
            raise
        return None


@tool(
    use_when=(
        "show me my payments",
        "how much money did you take",
        "has my payment gone through",
        "did you get my money",
        "is my payment still pending",
        "how much did I pay",
        "when did I pay for my order",
        "my payment failed",
        "what did I pay last month",
        "list my last transactions",
        "there is a payment on my statement from you",
        "what is this charge on my account",
    )
)
async def list_payments(context: ToolContext) -> ToolResult:
    """List the customer's newest payments with amount, date, method and state."""
    payments = await _payments(context)
    if not payments:
        return ToolResult("You have no payments yet.")
    at = now()
    told = [domain.payment_told(payment, at) for payment in payments[:NEWEST]]
    if any(payment.status == "pending" for payment in payments[:NEWEST]):
        told.append(domain.RESERVED)
    return ToolResult(" ".join(told), {"payments": [payment.payment_id for payment in payments[:NEWEST]]})


@tool(
    use_when=(
        "I was charged twice",
        "I have been charged two times for one order",
        "there is a double charge on my card",
        "you took the money twice",
        "the same amount was taken two times",
        "I paid twice by mistake",
        "duplicate payment for my last order",
        "two payments for the same order",
        "my statement shows the same charge twice",
        "you billed me double",
        "I was overcharged for my order",
        "charged again for something I already paid",
        "refund the duplicate payment",
        "refund the double charge",
        "I want the money back that you took twice",
    )
)
async def find_duplicate_charges(context: ToolContext) -> ToolResult:
    """Check whether an order was charged twice, and which payment is one too many."""
    payments, invoices = await _payments(context), await _invoices(context)
    at, found = now(), domain.overcharges(payments, invoices)
    if not found:
        return ToolResult(domain.unsettled(invoices) or domain.not_charged_twice(payments, at))
    latest = max(invoices, key=lambda invoice: invoice.issued_at).order_id
    first = found[0].surplus[0]
    told = [domain.told(one, latest=one.order_id == latest, now=at) for one in found[:NEWEST]]
    data = {"to_refund": [payment.payment_id for one in found for payment in one.surplus]}
    suggest = None if first.amount > REFUND_LIMIT else Suggestion("refund_payment", {"payment_id": first.payment_id})
    return ToolResult(" ".join([*told, domain.remedy(found[0])]), data, suggest)


async def _refundable(context: ToolContext, payment_id: str) -> Payment:
    payments = await _payments(context)
    payment = next((one for one in payments if one.payment_id == payment_id), None)
    if payment is None:
        raise ToolRefusedError(f"There is no payment {payment_id} on your account.")
    refusal = domain.refund_refusal(payment, payments, await _invoices(context))
    if refusal:
        raise ToolRefusedError(refusal)
    return payment


@tool(
    use_when=(
        "refund this payment",
        "refund the second payment",
        "give me a refund for the payment",
        "pay it back to my card",
        "reverse the second charge",
        "please refund what was charged twice",
        "return the overcharged amount",
        "refund the wrong charge",
        "undo the extra payment",
        "yes, refund that payment",
    ),
    key=("payment_id",),
    confirm="Shall I refund payment {payment_id}?",
    before_asking=_refundable,
)
async def refund_payment(context: ToolContext, payment_id: PaymentId) -> ToolResult:
    """Give back a payment that was charged too much, in full."""
    payment = await _refundable(context, payment_id)
    # The body must follow from the effect's key: the same key with another body would be refused.
    refund = await send(context, "POST", f"/payments/{payment_id}/refund", {"reason": "Charged too much"}, Refund)
    amount = money(refund.amount, refund.currency)
    summary = f"I have refunded {amount} of payment {payment_id}; the refund is {refund.refund_id}."
    return ToolResult(f"{summary} The money {domain.arrival(payment.method)}.", {"refund_id": refund.refund_id})


@tool(
    use_when=(
        "where is my refund",
        "my refund has not arrived",
        "when do I get my money back",
        "refund not showing up on my card",
        "how long until the refund is there",
        "has my refund been sent",
        "I am still waiting for my refund",
        "did you refund me",
        "what happened to the money you promised to return",
        "track my refund",
        "the refund is not on my statement",
        "status of my refund",
    )
)
async def refund_status(context: ToolContext) -> ToolResult:
    """Tell when the customer's refunds were sent and when the money arrives."""
    refunds = await read_list(context, "/refunds", Refund)
    if not refunds:
        return ToolResult(
            "You have no refunds yet. The refund for a return is sent on the day on which we have checked it."
        )
    methods = {payment.payment_id: payment.method for payment in await _payments(context)}
    at, newest = now(), refunds[:NEWEST]
    told = [domain.refund_told(refund, methods.get(refund.payment_id, "card"), at) for refund in newest]
    method = methods.get(newest[0].payment_id, "card")
    if domain.overdue(newest[0].created_at, method, at):
        told.append(domain.missing_refund(newest[0], method))
    return ToolResult(" ".join(told), {"refunds": [refund.refund_id for refund in newest]})


@tool(
    use_when=(
        "show me my invoices",
        "where is my bill",
        "I need my invoice",
        "list my bills",
        "have I paid all my invoices",
        "is there an open invoice",
        "when is my bill due",
        "how much do I owe you",
        "what is left to pay",
        "find the invoice for my order",
        "I need a receipt for my order",
        "send me a copy of my bill",
    )
)
async def list_invoices(context: ToolContext) -> ToolResult:
    """List the customer's newest invoices with total, order and whether they are paid."""
    invoices = (await _invoices(context))[:NEWEST]
    if not invoices:
        return ToolResult("You have no invoices yet.")
    at = now()
    told = " ".join(domain.invoice_told(invoice, at) for invoice in invoices)
    where = "You can download each as a PDF under My account, Orders, Invoice."
    return ToolResult(f"{told} {where}", {"invoices": [invoice.invoice_id for invoice in invoices]})


@tool(
    use_when=(
        "explain my invoice",
        "what is on my bill",
        "why is my bill so high",
        "what am I paying for",
        "break down my invoice",
        "how much VAT is on my invoice",
        "I do not understand my bill",
        "my invoice is wrong",
        "which items are on the invoice",
        "why is the total higher than the price",
        "details of my last bill",
        "what is this fee on my invoice",
    )
)
async def explain_invoice(context: ToolContext, invoice_id: InvoiceId = "latest") -> ToolResult:
    """Explain what an invoice is made up of: items, fees, VAT, and whether it is paid."""
    invoices = await _invoices(context)
    wanted = [invoice for invoice in invoices if invoice_id in ("latest", invoice.invoice_id, invoice.order_id)]
    if not wanted:
        raise ToolRefusedError(domain.no_invoice(invoice_id))
    invoice = wanted[0]
    order = await read(context, f"/orders/{invoice.order_id}", Order)
    told = f"{domain.invoice_told(invoice, now())} {domain.explained(invoice, order)}"
    return ToolResult(told, {"invoice_id": invoice.invoice_id, "order_id": invoice.order_id})


@tool(
    use_when=(
        "do I have Plus",
        "when does my membership renew",
        "how much is my subscription",
        "what do I pay each month",
        "am I a Plus member",
        "when is the next Plus payment",
        "is my subscription still active",
        "since when do I have the membership",
        "when did my membership begin",
        "why is there a monthly charge from Larkfield",
        "when does my Plus end",
        "tell me about my subscription",
    )
)
async def subscription_details(context: ToolContext) -> ToolResult:
    """Tell whether the customer has Larkfield Plus, its price, and when it renews or ends."""
    plan = await _plan(context)
    if plan is None:
        return ToolResult("You have no Larkfield Plus membership, so nothing is charged each month.")
    return ToolResult(domain.plan_told(plan, now()), {"active": plan.ends_on is None})


async def _membership(context: ToolContext) -> Subscription:
    plan = await _plan(context)
    if plan is None:
        raise ToolRefusedError("You have no Larkfield Plus membership that could be cancelled.")
    return plan


def _refuse_if_ended(plan: Subscription) -> None:
    if plan.ends_on is not None:
        told = f"{domain.plan_name(plan)} is cancelled already; your benefits end on {day(plan.ends_on, now())}."
        raise ToolRefusedError(told)


async def _may_be_ended(context: ToolContext) -> None:
    _refuse_if_ended(await _membership(context))


@tool(
    use_when=(
        "cancel my Plus",
        "cancel my subscription",
        "end my membership",
        "I do not want Plus any more",
        "stop the monthly payment",
        "stop renewing my subscription",
        "unsubscribe me from Plus",
        "terminate my Plus membership",
        "turn off auto renewal",
        "quit Larkfield Plus",
        "I forgot to cancel the free trial",
        "get me out of the subscription",
    ),
    key=("$turn",),
    confirm="Shall I cancel your Larkfield Plus membership?",
    before_asking=_may_be_ended,
)
async def cancel_subscription(context: ToolContext) -> ToolResult:
    """Cancel Larkfield Plus at the end of the period that is paid."""
    plan = await _membership(context)
    try:
        ended = await send(context, "POST", "/subscription/cancel", {}, Subscription)
    except ToolRefusedError:
        _refuse_if_ended(plan)
        raise
    return ToolResult(domain.plan_ended(ended, now()), {"ends_on": str(ended.ends_on)})
