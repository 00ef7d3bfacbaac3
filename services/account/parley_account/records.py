"""What the back office knows of a customer. Times are UTC."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Address(msgspec.Struct, frozen=True):
    """A postal address; `country` is an ISO 3166 code of two letters."""

    street: str
    postcode: str
    city: str
    country: str


class Profile(msgspec.Struct, frozen=True):
    name: str
    email: str
    phone: str
    address: Address
    created_at: datetime


class PasswordReset(msgspec.Struct, frozen=True):
    """A link that was sent; `sent_to` is masked already."""

    sent_to: str
    expires_at: datetime
