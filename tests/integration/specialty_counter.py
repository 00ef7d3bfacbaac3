"""A customer at the counter of a specialty: its tools, for one customer, against a back office that really runs."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from backoffice_company import TOKEN, Company

from parley_proto.envelope import Identity
from parley_specialist.backoffice import BackofficeClient
from parley_specialist.settings import Settings
from parley_specialist.tools import Tool, ToolContext, ToolResult


class Counter:
    """Uses tools as the turn loop does: arguments are checked JSON, and only an effect gets a key."""

    def __init__(self, client: BackofficeClient, customer: str) -> None:
        self._client = client
        self._identity = Identity("default", f"user-{customer}", customer)

    async def use(self, tool: Tool, *, key: str = "", **arguments: str) -> ToolResult:
        """The result of a tool; an effect goes under `key`, or under one of its own."""
        business_key = (key or uuid.uuid4().hex) if tool.effect else ""
        backoffice = self._client.of(self._identity, business_key)
        context = ToolContext(self._identity, "conversation-0001", "turn-0001", backoffice)
        return await tool.function(context, **tool.check(msgspec.json.encode(arguments).decode()))


@asynccontextmanager
async def counter(company: Company, customer: str) -> AsyncIterator[Counter]:
    """A counter for `customer`."""
    client = BackofficeClient(Settings(backoffice_url=company.address, backoffice_token=TOKEN))
    try:
        yield Counter(client, customer)
    finally:
        await client.close()
