from __future__ import annotations

from backoffice_company import Company
from specialty_counter import counter

from parley_escalation import tools

pytest_plugins = ("backoffice_fixtures",)


async def test_a_ticket_is_opened_once_a_turn_and_listed(company: Company) -> None:
    async with counter(company, "cus_0001") as customer:
        assert (await customer.use(tools.list_tickets)).summary == "You have no tickets."
        opened = await customer.use(tools.open_ticket, key="turn-1", subject="The courier was rude.", urgency="high")
        again = await customer.use(tools.open_ticket, key="turn-1", subject="The courier was rude.", urgency="high")
        assert again == opened
        listed = (await customer.use(tools.list_tickets)).summary
    ticket = (await company.get("cus_0001/tickets")).body["items"][0]
    assert (ticket["ticket_id"], ticket["subject"]) == (opened.data["ticket_id"], "The courier was rude")
    assert "Urgency: high." in ticket["body"]
    assert f"Ticket {ticket['ticket_id']} of " in listed
    assert "is open: a person is looking at it" in listed
    assert len((await company.get("cus_0001/tickets")).body["items"]) == 1
