from __future__ import annotations

import pytest
from backoffice_company import Company
from specialty_counter import counter

from parley_returns import tools
from parley_specialist.tools import ToolRefusedError

pytest_plugins = ("backoffice_fixtures",)


async def latest(company: Company, customer: str) -> str:
    return str((await company.get(f"{customer}/orders")).body["items"][0]["order_id"])


async def test_a_delivered_order_is_returned_once(company: Company) -> None:
    order = await latest(company, "cus_0001")
    async with counter(company, "cus_0001") as customer:
        assert "You can return it until" in (await customer.use(tools.order_status)).summary
        made = await customer.use(tools.start_return, key="return-1", order_id=order, reason="faulty or damaged")
        assert (
            await customer.use(tools.start_return, key="return-1", order_id=order, reason="faulty or damaged") == made
        )
        with pytest.raises(ToolRefusedError, match="already exists"):
            await customer.use(tools.start_return, order_id=order)
        assert made.data["return_id"] in (await customer.use(tools.return_status)).summary
    assert [one["return_id"] for one in (await company.get("cus_0001/returns")).body["items"]] == [
        made.data["return_id"]
    ]


async def test_a_placed_order_is_cancelled_and_paid_back(company: Company) -> None:
    order = await latest(company, "cus_0003")
    async with counter(company, "cus_0003") as customer:
        assert "received but not sent yet" in (await customer.use(tools.order_status, order_id=order)).summary
        done = await customer.use(tools.cancel_order, order_id=order)
        assert len(done.data["refunds"]) == 2
        assert all(refund in done.summary for refund in done.data["refunds"])
        with pytest.raises(ToolRefusedError, match="already cancelled"):
            await customer.use(tools.cancel_order, order_id=order)
        assert "was cancelled." in (await customer.use(tools.list_orders)).summary


async def test_an_order_on_its_way_is_neither_cancelled_nor_returned(company: Company) -> None:
    order = await latest(company, "cus_0002")
    async with counter(company, "cus_0002") as customer:
        with pytest.raises(ToolRefusedError, match="can't be cancelled any more"):
            await customer.use(tools.cancel_order, order_id=order)
        with pytest.raises(ToolRefusedError, match="has not been delivered yet"):
            await customer.use(tools.start_return, order_id=order)
    assert (await company.sql("SELECT count(*) AS made FROM backoffice.calls"))[0]["made"] == 0


async def test_an_order_of_somebody_else_is_not_there(company: Company) -> None:
    theirs = await latest(company, "cus_0003")
    async with counter(company, "cus_0001") as customer:
        with pytest.raises(ToolRefusedError, match=f"There is no order {theirs} on your account"):
            await customer.use(tools.cancel_order, order_id=theirs)


async def test_a_refunded_return_is_told_with_its_money(company: Company) -> None:
    async with counter(company, "cus_0010") as customer:
        summary = (await customer.use(tools.return_status)).summary
    assert "has arrived, and " in summary
    assert "was refunded." in summary
