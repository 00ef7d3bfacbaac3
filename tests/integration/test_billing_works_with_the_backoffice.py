from __future__ import annotations

import pytest
from backoffice_company import Company
from specialty_counter import counter

from parley_billing import tools
from parley_specialist.tools import ToolRefusedError

pytest_plugins = ("backoffice_fixtures",)


async def test_a_double_charge_is_found_and_given_back_once(company: Company) -> None:
    order = (await company.get("cus_0001/orders")).body["items"][0]["order_id"]
    async with counter(company, "cus_0001") as customer:
        found = await customer.use(tools.find_duplicate_charges)
        assert found.summary.startswith(f"Your latest order {order} was charged twice: payments PAY-")
        assert found.suggest is not None and found.suggest.tool == "refund_payment"
        first = await customer.use(tools.refund_payment, key="refund-1", **found.suggest.arguments)
        again = await customer.use(tools.refund_payment, key="refund-1", **found.suggest.arguments)
        assert first == again
        refunds = (await company.get("cus_0001/refunds")).body["items"]
        assert [refund["refund_id"] for refund in refunds] == [first.data["refund_id"]]
        settled = await customer.use(tools.find_duplicate_charges)
        assert "that is settled" in settled.summary
        assert settled.suggest is None
        assert first.data["refund_id"] in (await customer.use(tools.refund_status)).summary


async def test_under_another_key_the_back_office_refuses_the_second_refund(company: Company) -> None:
    async with counter(company, "cus_0001") as customer:
        found = await customer.use(tools.find_duplicate_charges)
        assert found.suggest is not None
        await customer.use(tools.refund_payment, **found.suggest.arguments)
        with pytest.raises(ToolRefusedError, match="already refunded"):
            await customer.use(tools.refund_payment, **found.suggest.arguments)
    assert len((await company.get("cus_0001/refunds")).body["items"]) == 1


async def test_a_payment_of_somebody_else_can_not_be_refunded(company: Company) -> None:
    theirs = (await company.get("cus_0001/payments")).body["items"][0]["payment_id"]
    async with counter(company, "cus_0002") as customer:
        with pytest.raises(ToolRefusedError, match=f"There is no payment {theirs} on your account"):
            await customer.use(tools.refund_payment, payment_id=theirs)
    assert (await company.get("cus_0001/refunds")).body["items"] == []


async def test_a_customer_who_was_charged_once_is_told_so(company: Company) -> None:
    async with counter(company, "cus_0002") as customer:
        found = await customer.use(tools.find_duplicate_charges)
    assert found.summary.startswith("None of your orders was charged twice.")
    assert found.suggest is None


async def test_payments_invoices_and_their_items_are_told(company: Company) -> None:
    invoice = (await company.get("cus_0001/invoices")).body["items"][0]
    order = (await company.get(f"cus_0001/orders/{invoice['order_id']}")).body
    async with counter(company, "cus_0001") as customer:
        assert invoice["invoice_id"] in (await customer.use(tools.list_invoices)).summary
        assert invoice["order_id"] in (await customer.use(tools.list_payments)).summary
        explained = (await customer.use(tools.explain_invoice)).summary
    assert all(item["name"] in explained for item in order["items"])


async def test_a_plan_is_told_and_cancelled(company: Company) -> None:
    async with counter(company, "cus_0001") as customer:
        assert "It renews on" in (await customer.use(tools.subscription_details)).summary
        ended = await customer.use(tools.cancel_subscription)
        plan = (await company.get("cus_0001/subscription")).body
        assert (plan["status"], plan["ends_on"]) == ("cancelled", ended.data["ends_on"])
        with pytest.raises(ToolRefusedError, match="is cancelled already"):
            await customer.use(tools.cancel_subscription)
    async with counter(company, "cus_0004") as other:
        assert "no Larkfield Plus membership" in (await other.use(tools.subscription_details)).summary
