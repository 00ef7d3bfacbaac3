from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from backoffice_company import Company
from specialty_counter import counter

from parley_returns import domain, tools
from parley_returns.records import Order
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


async def test_a_received_order_is_cancelled_and_paid_back(company: Company) -> None:
    order = await latest(company, "cus_0003")
    async with counter(company, "cus_0003") as customer:
        assert "received but not packed yet" in (await customer.use(tools.order_status, order_id=order)).summary
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


async def test_an_order_that_is_packed_is_not_cancelled(company: Company) -> None:
    order = await latest(company, "cus_0006")
    async with counter(company, "cus_0006") as customer:
        assert "is packed: it is being prepared" in (await customer.use(tools.order_status)).summary
        with pytest.raises(ToolRefusedError, match="is packed already and can't be cancelled any more"):
            await customer.use(tools.cancel_order, order_id=order)


async def test_money_that_was_only_reserved_is_released_with_the_order(company: Company) -> None:
    order = await latest(company, "cus_0014")
    async with counter(company, "cus_0014") as customer:
        done = await customer.use(tools.cancel_order, order_id=order)
    assert "Money that was only reserved is released today" in done.summary
    assert (await company.get("cus_0014/payments")).body["items"][0]["status"] == "released"


async def test_what_was_delivered_more_than_30_days_ago_is_returned_with_plus(company: Company) -> None:
    order = (await company.get("cus_0002/orders")).body["items"][1]["order_id"]
    async with counter(company, "cus_0002") as customer:
        made = await customer.use(tools.start_return, order_id=order, reason="changed mind")
    assert "is free for you" in made.summary


async def test_both_sides_agree_on_the_last_day_of_a_return(company: Company) -> None:
    item = (await company.get("cus_0001/orders")).body["items"][0]
    order = msgspec.convert(item, Order)
    last = domain.last_day(order, plus=True)
    assert last is not None
    wish = {"order_id": order.order_id, "reason": "x"}
    company.clock.now = datetime.combine(last + timedelta(days=1), time(0), ZoneInfo("Europe/London"))
    assert (await company.post("cus_0001/returns", wish)).body["code"] == "return_window_closed"
    company.clock.forward(seconds=-1)
    assert (await company.post("cus_0001/returns", wish)).status == 201


async def test_an_order_of_somebody_else_is_not_there(company: Company) -> None:
    theirs = await latest(company, "cus_0003")
    async with counter(company, "cus_0001") as customer:
        with pytest.raises(ToolRefusedError, match=f"There is no order {theirs} on your account"):
            await customer.use(tools.cancel_order, order_id=theirs)


async def test_a_refunded_return_is_told_with_its_money(company: Company) -> None:
    async with counter(company, "cus_0010") as customer:
        summary = (await customer.use(tools.return_status)).summary
    assert "is checked, and " in summary
    assert "was refunded." in summary
