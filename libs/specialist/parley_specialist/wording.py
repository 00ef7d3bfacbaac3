"""How dates, amounts and lists are written to a customer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$"}


def here(when: datetime) -> datetime:
    """A moment in British time, which the shop keeps."""
    return when.astimezone(ZoneInfo("Europe/London"))


def day(when: date, now: datetime) -> str:
    """'3 November', with the year where it is not this one."""
    local = here(when) if isinstance(when, datetime) else when
    year = "" if local.year == here(now).year else f" {local.year}"
    return f"{local.day} {local:%B}{year}"


def money(amount: Decimal, currency: str) -> str:
    """'£49.90'; a currency without a symbol is written out."""
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{amount:,.2f}" if symbol else f"{amount:,.2f} {currency}"


def several(parts: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([*([", ".join(parts[:-1])] if len(parts) > 1 else []), *parts[-1:]])
