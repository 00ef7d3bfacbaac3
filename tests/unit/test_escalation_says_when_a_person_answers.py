from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from paper_backoffice import PaperBackoffice, use

from parley_escalation import domain, tools
from parley_proto.errors import PermanentError
from parley_proto.specialist import Urgency
from parley_specialist.tools import ToolRefusedError

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 3, 23, 0, tzinfo=UTC)
EARLY = datetime(2026, 11, 3, 5, 0, tzinfo=UTC)


def office(at: datetime = NOON) -> PaperBackoffice:
    ticket = {"ticket_id": "TIC-750001", "subject": "x", "status": "open", "created_at": at.isoformat()}
    return PaperBackoffice({}, {"POST /tickets": ticket})


@pytest.mark.parametrize(
    ("urgency", "at", "words"),
    [
        ("critical", NOON, "before all other requests and within 1 hour"),
        ("high", NOON, "within 2 hours"),
        ("normal", NOON, "today"),
        ("low", NOON, "within 1 working day"),
        ("low", NIGHT, "within 1 working day"),
        ("critical", NIGHT, "from 8:00 tomorrow"),
        ("normal", EARLY, "from 8:00 today"),
    ],
)
def test_the_time_depends_on_urgency_and_hours(urgency: Urgency, at: datetime, words: str) -> None:
    assert words in domain.answer_time(urgency, at)


@pytest.mark.parametrize(
    ("at", "there"),
    [
        (datetime(2026, 11, 3, 8, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 3, 7, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 3, 21, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 3, 22, 0, tzinfo=UTC), False),
        (datetime(2026, 7, 3, 7, 0, tzinfo=UTC), True),  # 8:00 in summer
        (datetime(2026, 7, 3, 21, 0, tzinfo=UTC), False),
    ],
)
def test_people_are_there_from_8_to_22_in_british_time(at: datetime, there: bool) -> None:
    assert domain.people_are_there(at) is there


async def test_a_ticket_is_told_with_number_time_and_hours() -> None:
    backoffice = office()
    result = await use(tools.open_ticket, backoffice, '{"subject": "The courier was rude.", "urgency": "high"}')
    assert result.summary.startswith("I have opened ticket TIC-750001")
    assert "A person answers within 2 hours. People answer every day from 8:00 to 22:00" in result.summary
    body = "The courier was rude. Urgency: high. Opened in the chat; the conversation is conversation-0001."
    assert backoffice.sent == [("POST /tickets", {"subject": "The courier was rude", "body": body})]


@pytest.mark.parametrize(
    ("subject", "critical"),
    [
        ("My speaker smells of burning", True),
        ("There is smoke from the charger", True),
        ("My card was stolen", True),
        ("I don’t recognise this payment", True),
        ("I did not make this payment", True),
        ("Somebody hacked my account", True),
        ("The courier was rude", False),
        ("My order is late", False),
        ("The sparkling lamp is nice", False),
    ],
)
async def test_danger_theft_and_fraud_are_critical_whatever_the_model_says(subject: str, critical: bool) -> None:
    result = await use(tools.open_ticket, office(), f'{{"subject": "{subject}", "urgency": "low"}}')
    assert result.data["urgency"] == ("critical" if critical else "low")


async def test_a_subject_becomes_one_plain_line() -> None:
    backoffice = office()
    await use(tools.open_ticket, backoffice, '{"subject": " The\\u0000 parcel\\nnever\\u202e came.. "}')
    assert backoffice.sent[0][1]["subject"] == "The parcel never came"


async def test_a_ticket_about_nothing_is_not_opened() -> None:
    backoffice = office()
    with pytest.raises(ToolRefusedError, match="what the matter is"):
        await use(tools.open_ticket, backoffice, '{"subject": "\\u0000\\u0000\\u0000"}')
    assert backoffice.sent == []
    for arguments in ('{"subject": "x"}', '{"subject": "' + "x" * 161 + '"}', '{"subject": "abc", "urgency": "now"}'):
        with pytest.raises(PermanentError, match="can't be called so"):
            tools.open_ticket.check(arguments)


def ticket(number: int, status: str) -> dict[str, Any]:
    at = "2024-11-03T10:00:00Z"
    return {"ticket_id": f"TIC-75000{number}", "subject": "Late parcel", "status": status, "created_at": at}


async def test_the_three_newest_tickets_are_told() -> None:
    items = [ticket(4, "closed"), ticket(3, "open"), ticket(2, "closed"), ticket(1, "open")]
    result = await use(tools.list_tickets, PaperBackoffice({"/tickets": {"items": items}}))
    assert "Ticket TIC-750004 of 3 November 2024 (Late parcel) is closed." in result.summary
    assert "Ticket TIC-750003 of 3 November 2024 (Late parcel) is open: a person is looking at it." in result.summary
    assert result.summary.endswith(domain.HOURS)
    assert "TIC-750001" not in result.summary


async def test_hours_matter_only_while_a_ticket_is_open() -> None:
    closed = await use(tools.list_tickets, PaperBackoffice({"/tickets": {"items": [ticket(1, "closed")]}}))
    assert domain.HOURS not in closed.summary
    none = await use(tools.list_tickets, PaperBackoffice({"/tickets": {"items": []}}))
    assert none.summary == "You have no tickets."
