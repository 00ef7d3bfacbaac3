from __future__ import annotations

import pytest
from backoffice_company import Company
from specialty_counter import counter

from parley_account import tools
from parley_specialist.tools import ToolRefusedError

pytest_plugins = ("backoffice_fixtures",)


async def test_details_are_changed_one_by_one(company: Company) -> None:
    before = (await company.get("cus_0001/profile")).body
    async with counter(company, "cus_0001") as customer:
        assert before["name"] in (await customer.use(tools.show_profile)).summary
        await customer.use(tools.change_email, new_email="new@example.com")
        await customer.use(tools.change_phone, new_phone="+44 7700 900123")
        await customer.use(tools.change_address, new_address="12 Mill Lane, BS1 4DJ Bristol")
        shown = (await customer.use(tools.show_profile)).summary
    after = (await company.get("cus_0001/profile")).body
    address = {"street": "12 Mill Lane", "postcode": "BS1 4DJ", "city": "Bristol", "country": "GB"}
    assert after == before | {"email": "new@example.com", "phone": "+44 7700 900123", "address": address}
    assert "n•••@example.com" in shown
    assert "12 Mill Lane, BS1 4DJ Bristol, GB" in shown


async def test_what_the_back_office_does_not_take_changes_nothing(company: Company) -> None:
    before = (await company.get("cus_0001/profile")).body
    async with counter(company, "cus_0001") as customer:
        with pytest.raises(ToolRefusedError, match=r"not an address like name@example\.com"):
            await customer.use(tools.change_email, new_email="new@example..com")
    assert (await company.get("cus_0001/profile")).body == before


async def test_a_link_for_a_new_password_is_sent_once_a_key(company: Company) -> None:
    async with counter(company, "cus_0001") as customer:
        first = await customer.use(tools.send_password_reset, key="turn-1")
        assert await customer.use(tools.send_password_reset, key="turn-1") == first
        await customer.use(tools.send_password_reset, key="turn-2")
        await customer.use(tools.send_password_reset, key="turn-3")
        with pytest.raises(ToolRefusedError, match="3 links were sent within the last hour"):
            await customer.use(tools.send_password_reset, key="turn-4")
    assert "•••@example.com" in first.summary
    assert len(await company.sql("SELECT sent_to FROM backoffice.password_resets")) == 3
