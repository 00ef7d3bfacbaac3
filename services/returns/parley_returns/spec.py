"""The returns specialty."""

from __future__ import annotations

from parley_returns import tools
from parley_specialist.spec import Spec, instructions_of


def spec() -> Spec:
    return Spec(
        name="returns",
        title="Orders and returns",
        handles=(
            "orders, where an order is, tracking, delivery, late parcels, changing or cancelling an order, "
            "sending it back, refunds for returns, exchanges, warranty, repairs, damaged, faulty, wrong or missing "
            "items, home trial"
        ),
        instructions=instructions_of(__package__),
        tools=[
            tools.order_status,
            tools.start_return,
            tools.cancel_order,
            tools.return_status,
            tools.list_orders,
        ],
    )
