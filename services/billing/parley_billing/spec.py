"""The billing specialty."""

from __future__ import annotations

from parley_billing import tools
from parley_specialist.spec import Spec, instructions_of


def spec() -> Spec:
    return Spec(
        name="billing",
        title="Billing",
        handles=(
            "payments, charges, being charged twice, pending money, refunds of payments, invoices, bills, receipts, "
            "VAT, fees, ways to pay, instalments, gift cards, Wallet top-ups and withdrawals, the Plus subscription"
        ),
        instructions=instructions_of(__package__),
        tools=[
            tools.find_duplicate_charges,
            tools.refund_payment,
            tools.refund_status,
            tools.list_payments,
            tools.list_invoices,
            tools.explain_invoice,
            tools.subscription_details,
            tools.cancel_subscription,
        ],
    )
