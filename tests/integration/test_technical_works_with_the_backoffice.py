from __future__ import annotations

import pytest
from backoffice_company import Company
from specialty_counter import counter

from parley_specialist.tools import ToolRefusedError
from parley_technical import tools

pytest_plugins = ("backoffice_fixtures",)


async def test_a_router_is_checked_and_restarted(company: Company) -> None:
    router = (await company.get("cus_0001/devices")).body["items"][0]
    async with counter(company, "cus_0001") as customer:
        assert router["device_id"] in (await customer.use(tools.list_devices)).summary
        status = await customer.use(tools.device_status, device_id="router")
        assert f"Your Heron router ({router['device_id']}) is online" in status.summary
        assert status.suggest is not None
        done = await customer.use(tools.restart_device, key="restart-1", **status.suggest.arguments)
        assert await customer.use(tools.restart_device, key="restart-1", **status.suggest.arguments) == done
    assert done.summary.startswith(f"I have restarted your Heron router ({router['device_id']})")
    assert (await company.get(f"cus_0001/devices/{router['device_id']}")).body["restarted_at"] is not None


async def test_an_offline_router_is_not_restarted_from_here(company: Company) -> None:
    router = (await company.get("cus_0005/devices")).body["items"][0]
    async with counter(company, "cus_0005") as customer:
        status = await customer.use(tools.device_status, device_id=router["device_id"])
        assert "has been offline since" in status.summary
        with pytest.raises(ToolRefusedError, match="unplug it for 30 seconds"):
            await customer.use(tools.restart_device, device_id=router["device_id"])
    assert (await company.get(f"cus_0005/devices/{router['device_id']}")).body["restarted_at"] is None


async def test_a_device_of_somebody_else_is_not_there(company: Company) -> None:
    theirs = (await company.get("cus_0001/devices")).body["items"][0]["device_id"]
    async with counter(company, "cus_0002") as customer:
        with pytest.raises(ToolRefusedError, match=f"There is no device {theirs}"):
            await customer.use(tools.restart_device, device_id=theirs)
