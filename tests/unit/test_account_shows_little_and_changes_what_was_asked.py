from __future__ import annotations

from typing import Any

import pytest
from paper_backoffice import PaperBackoffice, use

from parley_account import domain, tools
from parley_account.records import Address
from parley_account.spec import spec
from parley_proto.envelope import Identity
from parley_proto.errors import PermanentError
from parley_proto.specialist import AssignTurn
from parley_specialist.tools import ToolRefusedError

PROFILE: dict[str, Any] = {
    "name": "Anna Byrne",
    "email": "anna.byrne@example.com",
    "phone": "+44 7700 900123",
    "address": {"street": "1 Mill Lane", "postcode": "BS1 4DJ", "city": "Bristol", "country": "GB"},
    "created_at": "2024-02-03T10:00:00Z",
}
TURN = AssignTurn("turn-1", 1, "conversation-1", Identity("t", "anna", "cus_0001"), "account", [], [], 0)


def office(**changed: Any) -> PaperBackoffice:
    reset = {"sent_to": "a***@example.com", "expires_at": "2026-11-23T09:00:00Z"}
    answers: dict[str, Any] = {"PATCH /profile": PROFILE | changed, "POST /password-reset": reset}
    return PaperBackoffice({"/profile": PROFILE}, answers)


async def test_a_profile_is_shown_without_what_a_stranger_could_use() -> None:
    result = await use(tools.show_profile, office())
    assert result.summary == (
        "Your account is in the name of Anna Byrne, since 3 February 2024. Your e-mail address is a•••@example.com, "
        "and your mobile number is •••123. Your address is 1 Mill Lane, BS1 4DJ Bristol, GB."
    )
    assert "anna.byrne" not in str(result)
    assert "900" not in str(result)


@pytest.mark.parametrize(("phone", "masked"), [("+44 7700 900123", "•••123"), ("12345", "•••"), ("", "•••")])
def test_a_short_number_is_masked_whole(phone: str, masked: str) -> None:
    assert domain.masked_phone(phone) == masked


async def test_a_new_email_is_sent_as_written_and_told_masked() -> None:
    backoffice = office(email="new.anna@example.org")
    result = await use(tools.change_email, backoffice, '{"new_email": "new.anna@example.org"}')
    assert backoffice.sent == [("PATCH /profile", {"email": "new.anna@example.org"})]
    assert "n•••@example.org" in result.summary
    assert "valid for 24 hours" in result.summary
    assert "new.anna" not in str(result)


async def test_a_new_number_is_sent_as_written_and_told_masked() -> None:
    backoffice = office(phone="+44 7700 900777")
    result = await use(tools.change_phone, backoffice, '{"new_phone": "+44 7700 900777"}')
    assert backoffice.sent == [("PATCH /profile", {"phone": "+44 7700 900777"})]
    assert "•••777" in result.summary
    assert "withdrawals from the Wallet are paused for 24 hours" in result.summary


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (tools.change_email, '{"new_email": "nobody"}'),
        (tools.change_email, '{"new_email": "a@b"}'),
        (tools.change_email, '{"new_email": "a b@example.com"}'),
        (tools.change_email, '{"new_email": "a@example.com\\r\\nBcc: b@example.com"}'),
        (tools.change_email, '{"new_email": "a@example.com", "customer_id": "cus_0002"}'),
        (tools.change_phone, '{"new_phone": "call me"}'),
        (tools.change_phone, '{"new_phone": "12345"}'),
        (tools.change_address, '{"new_address": "x"}'),
        (tools.change_address, "{}"),
    ],
)
def test_what_does_not_fit_the_schema_never_gets_to_a_tool(tool: Any, arguments: str) -> None:
    with pytest.raises(PermanentError) as refused:
        tool.check(arguments)
    assert refused.value.code == "bad_arguments"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("12 Mill Lane, BS1 4DJ Bristol", Address("12 Mill Lane", "BS1 4DJ", "Bristol", "GB")),
        ("12 Mill Lane, Bristol, bs1 4dj", Address("12 Mill Lane", "BS1 4DJ", "Bristol", "GB")),
        ("12 Mill Lane\nBristol BS1 4DJ\nUK", Address("12 Mill Lane", "BS1 4DJ", "Bristol", "GB")),
        ("12 Mill Lane BS1 4DJ Bristol", Address("12 Mill Lane", "BS1 4DJ", "Bristol", "GB")),
        (
            "Flat 3, 12 Mill Lane, Bristol, BS1 4DJ, England",
            Address("Flat 3, 12 Mill Lane", "BS1 4DJ", "Bristol", "GB"),
        ),
        ("7 Abbey Court, Dublin, D02 X285", Address("7 Abbey Court", "D02 X285", "Dublin", "IE")),
        ("Lindenstraße 5, 10115 Berlin, Germany", Address("Lindenstraße 5", "10115", "Berlin", "DE")),
        ("1200 Long Street, 10115 Berlin, DE", Address("1200 Long Street", "10115", "Berlin", "DE")),
        ("12 rue des Lilas, 69002 Lyon, France", Address("12 rue des Lilas", "69002", "Lyon", "FR")),
        ("Damrak 1, 1012 LG Amsterdam, Netherlands", Address("Damrak 1", "1012 LG", "Amsterdam", "NL")),
        ("ul. Prosta 1, 00-950 Warszawa, Poland", Address("ul. Prosta 1", "00-950", "Warszawa", "PL")),
        ("Lindenstraße 5, 10115 Berlin", None),
        ("12 Mill Lane, BS1 4DJ", None),
        ("BS1 4DJ Bristol", None),
        ("somewhere nice", None),
        (", , ,", None),
        ("", None),
    ],
)
def test_an_address_is_read_from_one_line(text: str, address: Address | None) -> None:
    assert domain.address_of(text) == address


async def test_a_new_address_is_sent_in_its_parts() -> None:
    backoffice = office()
    result = await use(tools.change_address, backoffice, '{"new_address": "1 Mill\\u0000 Lane, BS1 4DJ  Bristol"}')
    address = {"street": "1 Mill Lane", "postcode": "BS1 4DJ", "city": "Bristol", "country": "GB"}
    assert backoffice.sent == [("PATCH /profile", {"address": address})]
    assert "Your address is now 1 Mill Lane, BS1 4DJ Bristol, GB." in result.summary
    assert "orders that you have already placed keep their address" in result.summary


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("PO Box 12, BS1 4DJ Bristol", "PO boxes"),
        ("P.O. Box 12, BS1 4DJ Bristol", "PO boxes"),
        ("1 Main Street, 12345 Springfield, USA", "only to the United Kingdom and the European Union"),
        ("1 High Street, 8001 Zurich, CH", "only to the United Kingdom and the European Union"),
        ("Lindenstraße 5, 10115 Berlin", "the country too"),
        ("12 Mill Lane, BS1 4DJ Bristol", ""),
    ],
)
def test_the_rules_refuse_an_address_before_the_customer_is_asked(text: str, reason: str) -> None:
    said = spec().rules.check("change_address", {"new_address": text}, TURN)
    assert reason in said
    assert bool(said) == bool(reason)


def test_the_rules_leave_other_tools_alone() -> None:
    assert spec().rules.check("change_email", {"new_email": "PO Box 12@example.com"}, TURN) == ""


async def test_a_tool_that_is_called_past_the_rules_refuses_too() -> None:
    backoffice = office()
    with pytest.raises(ToolRefusedError, match="divided by commas"):
        await use(tools.change_address, backoffice, '{"new_address": "somewhere nice"}')
    assert backoffice.sent == []


async def test_a_link_for_a_new_password_goes_to_the_address_on_the_account() -> None:
    backoffice = office()
    result = await use(tools.send_password_reset, backoffice)
    assert backoffice.sent == [("POST /password-reset", {})]
    assert "a link for a new password to a•••@example.com" in result.summary
    assert "valid until 09:00" in result.summary
