"""What returns can look up and do. The customer comes from the session, never from an argument."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parley_returns import domain
from parley_returns.domain import NEWEST, Reason
from parley_returns.records import Cancelled, Order, Payment, Return, Subscription
from parley_specialist.backoffice import NOT_FOUND
from parley_specialist.reading import now, read, read_list, send
from parley_specialist.tools import ToolContext, ToolRefusedError, ToolResult, tool

OrderId = Annotated[str, Meta(pattern=r"^ORD-[0-9]{1,12}$", description="the order number, such as ORD-100001")]
AnyOrder = Annotated[
    str,
    Meta(
        pattern=r"^(ORD-[0-9]{1,12}|latest)$",
        description="the order number, such as ORD-100001, or 'latest' for the newest order",
    ),
]
Why = Annotated[
    Reason,
    Meta(
        description="why it goes back: changed mind, faulty or damaged, or wrong item",
        extra_json_schema={"type": "string"},
    ),
]


async def _orders(context: ToolContext) -> list[Order]:
    return await read_list(context, "/orders", Order)


async def _order(context: ToolContext, order_id: str) -> Order:
    orders = await _orders(context)
    found = next((order for order in orders if order_id in ("latest", order.order_id)), None)
    if found is None:
        none = "You have no orders yet." if order_id == "latest" else f"There is no order {order_id} on your account."
        raise ToolRefusedError(none)
    return found


async def _plus(context: ToolContext) -> bool:
    try:
        return domain.has_plus(await read(context, "/subscription", Subscription), now())
    except ToolRefusedError as error:
        # Records that can't be read must not become the shorter return period.
        if error.code != NOT_FOUND:
            raise
        return False


@tool(
    use_when=(
        "show me my orders",
        "list my orders",
        "what have I ordered",
        "my order history",
        "which orders do I have",
        "what is my order number",
        "when did I order",
        "see my past purchases",
        "what did I buy from you",
        "I can not find my order number",
        "my last orders please",
    )
)
async def list_orders(context: ToolContext) -> ToolResult:
    """List the customer's newest orders with number, date, items, total and state."""
    orders = await _orders(context)
    if not orders:
        return ToolResult("You have no orders yet.")
    at, newest = now(), orders[:NEWEST]
    told = " ".join(domain.order_told(order, at) for order in newest)
    return ToolResult(told, {"orders": [order.order_id for order in newest]})


@tool(
    use_when=(
        "where is my order",
        "track my parcel",
        "has my order been sent",
        "when will my package arrive",
        "what is the status of my order",
        "my order has not arrived",
        "my delivery is late",
        "is my order on its way",
        "what is happening with my order",
        "what is the tracking number",
        "can I still return my order",
        "why is my parcel taking so long",
        "when can I expect my delivery",
        "was my order delivered",
    )
)
async def order_status(context: ToolContext, order_id: AnyOrder = "latest") -> ToolResult:
    """Tell where an order is, by default the latest, and what can be done with it."""
    order = await _order(context, order_id)
    plus = order.status == "delivered" and await _plus(context)
    at = now()
    told = f"{domain.order_told(order, at)} {domain.next_step(order, plus=plus, now=at)}".rstrip()
    return ToolResult(told, {"order_id": order.order_id, "status": order.status})


async def _may_be_cancelled(context: ToolContext, order_id: str) -> None:
    order = await _order(context, order_id)
    # What can still be cancelled must not wait for a membership that can't be read.
    plus = order.status != "received" and await _plus(context)
    refusal = domain.cancel_refusal(order, plus=plus, now=now())
    if refusal:
        raise ToolRefusedError(refusal)


@tool(
    use_when=(
        "cancel my order",
        "I want to cancel what I ordered",
        "please stop my order",
        "I ordered by mistake",
        "I do not want the order any more",
        "cancel the purchase",
        "can I cancel my order before it ships",
        "abort my order",
        "I changed my mind about my order",
        "I no longer need what I ordered",
        "annul my purchase",
    ),
    key=("order_id",),
    confirm="Shall I cancel order {order_id}? A cancelled order can't be restored.",
    before_asking=_may_be_cancelled,
)
async def cancel_order(context: ToolContext, order_id: OrderId) -> ToolResult:
    """Cancel an order that is not packed yet; what was paid is refunded."""
    await _may_be_cancelled(context, order_id)
    done = await send(context, "POST", f"/orders/{order_id}/cancel", {}, Cancelled)
    refunds = [refund.refund_id for refund in done.refunds]
    return ToolResult(domain.cancelled(order_id, done.refunds), {"order_id": order_id, "refunds": refunds})


async def _may_be_returned(context: ToolContext, order_id: str, reason: str) -> bool:
    """Whether it may be, and if so whether with the longer period of Plus; ToolRefusedError where it may not."""
    order, plus = await _order(context, order_id), await _plus(context)
    refusal = domain.return_refusal(order, plus=plus, now=now())
    if refusal:
        raise ToolRefusedError(refusal)
    return plus


@tool(
    use_when=(
        "I want to return my order",
        "send it back",
        "how do I return this product",
        "start a return for my order",
        "I want to give it back",
        "I do not like it and want my money back",
        "I need a return label",
        "it does not fit, I want to return it",
        "the product is faulty and I want to send it back",
        "I got the wrong item",
        "it arrived damaged and I want to return it",
        "please take the product back",
        "I am not happy with the product",
    ),
    key=("order_id",),
    confirm="Shall I book the return of order {order_id}?",
    before_asking=_may_be_returned,
)
async def start_return(context: ToolContext, order_id: OrderId, reason: Why = "not stated") -> ToolResult:
    """Book the return of a delivered order within the return period."""
    plus = await _may_be_returned(context, order_id, reason)
    made = await send(context, "POST", "/returns", {"order_id": order_id, "reason": reason}, Return)
    told = domain.return_booked(made, reason, plus=plus, now=now())
    return ToolResult(told, {"return_id": made.return_id, "send_by": str(made.send_by)})


@tool(
    use_when=(
        "what is the status of my return",
        "has my return arrived",
        "did you get my parcel back",
        "where is my return",
        "track my return",
        "I sent it back, what now",
        "when is my return checked",
        "until when must I send the parcel",
        "is my return booked",
        "have you processed my return",
        "I returned my order last week",
    )
)
async def return_status(context: ToolContext) -> ToolResult:
    """Tell how far the customer's returns are."""
    returns = (await read_list(context, "/returns", Return))[:NEWEST]
    if not returns:
        return ToolResult(
            "You have no returns. A return can be booked within 30 days of delivery, with Plus within 60."
        )
    payments = await read_list(context, "/payments", Payment)
    at = now()
    told = " ".join(domain.return_told(made, payments, at) for made in returns)
    return ToolResult(told, {"returns": [made.return_id for made in returns]})
