"""What a customer may change about an account, and how much of it is shown. Pure.

Rules are those of the help pages: 'Changing your name, e-mail or mobile number', 'Adding or changing a delivery
address', 'Where we deliver', 'Forgotten or changed password'.
"""

from __future__ import annotations

import re
from datetime import datetime

from parley_account.records import Address, PasswordReset, Profile
from parley_proto.specialist import AssignTurn
from parley_specialist.wording import day, here

# The United Kingdom, and the European Union by its ISO 3166 codes.
DELIVERED_TO = "GB AT BE BG HR CY CZ DE DK EE ES FI FR GR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
COUNTRIES = {
    "uk": "GB", "united kingdom": "GB", "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB",
    "northern ireland": "GB", "ireland": "IE", "germany": "DE", "deutschland": "DE", "france": "FR", "italy": "IT",
    "spain": "ES", "netherlands": "NL", "belgium": "BE", "austria": "AT", "poland": "PL", "portugal": "PT",
    "usa": "US", "united states": "US", "canada": "CA", "australia": "AU", "india": "IN", "switzerland": "CH",
    "norway": "NO",
}  # fmt: skip
_PO_BOX = re.compile(r"\b(p\.?\s?o\.?\s?box|post office box|postfach)\b", re.IGNORECASE)
# British postcodes and Irish Eircodes tell their country; elsewhere they are digits, with letters here and there.
_OWN_FORMS = {
    "GB": re.compile(r"\b[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}\b", re.IGNORECASE),
    "IE": re.compile(r"\b[A-Z][0-9][0-9W] ?[A-Z0-9]{4}\b", re.IGNORECASE),
}
_DIGITS = re.compile(r"\b(?:[A-Z]{2}-)?[0-9]{2,5}[ -]?[0-9]{2,3}(?: [A-Z]{2}\b)?")
PAUSED = "For your safety, withdrawals from the Wallet are paused for 24 hours."


def masked_email(email: str) -> str:
    """'m•••@example.com': enough for its owner to know it."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}•••@{domain}"


def masked_phone(phone: str) -> str:
    """'•••123': enough for its owner to know it."""
    digits = re.sub(r"\D", "", phone)
    return f"•••{digits[-3:]}" if len(digits) > 5 else "•••"


def plain(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def address_line(address: Address) -> str:
    return f"{address.street}, {address.postcode} {address.city}, {address.country}"


def profile_told(profile: Profile, now: datetime) -> str:
    """An account as sentences, without what a stranger could use."""
    return (
        f"Your account is in the name of {profile.name}, since {day(profile.created_at, now)}. "
        f"Your e-mail address is {masked_email(profile.email)}, and your mobile number is "
        f"{masked_phone(profile.phone)}. Your address is {address_line(profile.address)}."
    )


def address_of(text: str) -> Address | None:
    """The address that a customer wrote in one line, parts divided by commas; None where a part is missing."""
    parts = [part for part in (plain(part) for part in re.split(r"[,;\n]", text)) if part]
    country = _country(parts[-1]) if len(parts) > 1 else ""
    lines = parts[:-1] if country else parts
    for of, pattern in _postcodes(country):
        # From the end, as a long house number can look like a postcode.
        for number in reversed(range(len(lines))):
            if found := pattern.search(lines[number]):
                return _put_together(*_divided(lines, number, found), found, of)
    return None


def _divided(lines: list[str], number: int, found: re.Match[str]) -> tuple[list[str], int]:
    """The lines with the street apart, where somebody wrote no comma between it and the postcode."""
    if number:
        return lines, number
    return [lines[0][: found.start()].strip(), lines[0][found.start() :], *lines[1:]], 1


def _postcodes(country: str) -> list[tuple[str, re.Pattern[str]]]:
    """The forms that a postcode can have; without a country only those that tell it by themselves."""
    if country in ("", *_OWN_FORMS):
        return [(of, pattern) for of, pattern in _OWN_FORMS.items() if country in ("", of)]
    return [(country, _DIGITS)]


def _country(text: str) -> str:
    """The ISO code of a country's name or code; '' for any other text."""
    is_code = re.fullmatch(r"[A-Za-z]{2}", text) and text.lower() not in COUNTRIES
    return text.upper() if is_code else COUNTRIES.get(text.lower(), "")


def _put_together(lines: list[str], number: int, found: re.Match[str], country: str) -> Address | None:
    """The town stands beside the postcode, or in the line before or after it."""
    beside = plain(lines[number].replace(found.group(), " "))
    before, after = lines[:number], lines[number + 1 :]
    city = beside or (after[0] if after else before.pop() if len(before) > 1 else "")
    street = ", ".join(before)
    return Address(street, found.group().upper(), city, country) if street and city else None


def check(tool: str, arguments: dict[str, object], turn: AssignTurn) -> str:
    """Why a change can't be made whatever the back office says, or ''."""
    return address_refusal(str(arguments["new_address"])) if tool == "change_address" else ""


def address_refusal(text: str) -> str:
    """Why an address can't be saved, or ''."""
    if _PO_BOX.search(text):
        return "We don't deliver to PO boxes, so please give me a street and a house number."
    address = address_of(text)
    if address is None:
        return (
            "I need the street with the house number, the postcode and the town, divided by commas, and outside the "
            "United Kingdom and Ireland the country too: for example 12 Mill Lane, BS1 4DJ Bristol."
        )
    if address.country not in DELIVERED_TO.split():
        return "We deliver only to the United Kingdom and the European Union, so I can't save this address."
    return ""


def email_changed(profile: Profile) -> str:
    """What to say once the e-mail address is changed."""
    return (
        f"Your e-mail address is now {masked_email(profile.email)}. Please confirm it with the link that we send "
        f"there; it is valid for 24 hours. Your old address gets a notice and can stop the change for 7 days. {PAUSED}"
    )


def phone_changed(profile: Profile) -> str:
    """What to say once the mobile number is changed."""
    return (
        f"Your mobile number is now {masked_phone(profile.phone)}. "
        f"Please confirm it with the code that we send there; it is valid for 10 minutes. {PAUSED}"
    )


def address_changed(profile: Profile) -> str:
    """What to say once the address is changed."""
    return (
        f"Your address is now {address_line(profile.address)}. "
        "It applies to future orders; orders that you have already placed keep their address."
    )


def reset_sent(reset: PasswordReset) -> str:
    """What to say once a link for a new password is on its way."""
    sent_to = reset.sent_to.replace("*", "•")
    return (
        f"I have sent a link for a new password to {sent_to}. It arrives within 5 minutes, works once, and "
        f"is valid until {here(reset.expires_at):%H:%M}. "
        "The new password needs at least 10 characters, one capital letter and one number."
    )
