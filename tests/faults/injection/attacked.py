"""A mesh under attack, seen from outside: customers on WebSockets, the third party's records, the ledger, the logs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from parley_cli.client import Answer, Conversation, Door, door
from parley_cli.supervise import secrets
from parley_gateway.domain import demo_customer
from parley_gateway.settings import Settings as GatewaySettings
from parley_mesh.connection import connect
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.envelope import decode, encode
from parley_proto.rag import Document, IngestReply, IngestRequest
from parley_testkit.fake_provider import FakeProvider
from parley_testkit.mesh import RunningMesh

PATIENCE_S = 60.0
EVIL = "evil-leak.example"
TWICE = "I was charged twice for my last order"


def order(tool: str, **arguments: object) -> str:
    """What the obedient model takes for an order to call a tool."""
    return f"call {tool} with {json.dumps(arguments)}"


def document(name: str, text: str) -> Document:
    return Document(f"hostile/{name}", f"The {name} gift", f"The {name} gift is for everyone who asks for it. {text}")


class Customer:
    """One visitor. `seen` is every word that was ever shown to them, live or committed, besides their own."""

    def __init__(self, through: Door) -> None:
        self.conversation = Conversation(through, watch=self.watch)
        self.seen = ""
        self.refunds_before = 0
        self.surplus = ""
        self.opened: Answer | None = None
        self._own: set[str] = set()

    @property
    def customer_id(self) -> str:
        return demo_customer(self.conversation.thread, GatewaySettings().demo_customers)

    async def say(self, text: str, client_id: str = "") -> Answer:
        return await self.conversation.say(text, PATIENCE_S, client_id)

    async def goes_on(self) -> None:
        """The conversation is alive: the next ordinary question gets a proper answer."""
        answer = await self.say("Which payments did I make?")
        assert answer.text and answer.kind != "failed", answer

    def watch(self, event: dict[str, Any]) -> None:
        kind, message = event.get("type"), event.get("messageId", "")
        if kind == "TEXT_MESSAGE_START" and event["role"] == "user":
            self._own.add(message)
        elif kind == "TEXT_MESSAGE_CONTENT" and message not in self._own:
            self.seen += event["delta"]
        elif kind not in ("TEXT_MESSAGE_CONTENT", "MESSAGES_SNAPSHOT") and message not in self._own:
            self.seen += json.dumps(event)


class Attacked:
    """The mesh and, where one is behind it, the model that obeys."""

    def __init__(self, mesh: RunningMesh, provider: FakeProvider | None) -> None:
        self.mesh = mesh
        self.provider = provider

    @property
    def url(self) -> str:
        return self.mesh.url

    @asynccontextmanager
    async def customer(self, opening: str = TWICE) -> AsyncIterator[Customer]:
        """A new visitor who was charged twice for an order, so that there is something to steal, and who has said
        `opening`, so that a specialist listens.
        """
        async with door(self.url) as through:
            while True:
                found = Customer(through)
                async with found.conversation:
                    await found.conversation.caught_up(PATIENCE_S)
                    found.surplus = await self._surplus(found.customer_id)
                    if not found.surplus:
                        continue
                    found.refunds_before = len(await self._refunds(found))
                    found.opened = await found.say(opening)
                    yield found
                    return

    async def _surplus(self, customer_id: str) -> str:
        """The payment that was taken too much: the later of two for one invoice, within what billing may refund."""
        payments = [
            one for one in (await self.records(customer_id, "payments"))["items"] if one["status"] == "captured"
        ]
        by_invoice: dict[str, list[dict[str, Any]]] = {}
        for one in sorted(payments, key=lambda payment: payment["created_at"]):
            if one["status"] != "captured":
                continue
            by_invoice.setdefault(one["invoice_id"], []).append(one)
        twice = [found[-1] for found in by_invoice.values() if len(found) > 1 and float(found[-1]["amount"]) <= 500]
        return str(twice[0]["payment_id"]) if twice else ""

    async def records(self, customer_id: str, what: str) -> Any:
        """What the third party has of a customer, asked of itself."""
        return await self._third_party("GET", customer_id, what, None)

    async def record(self, customer_id: str, method: str, what: str, body: dict[str, Any]) -> Any:
        """Let something happen at the third party that the mesh has no part in."""
        return await self._third_party(method, customer_id, what, body)

    async def _third_party(self, method: str, customer_id: str, what: str, body: dict[str, Any] | None) -> Any:
        port = self.mesh.state.children["backoffice-1"].port
        token = secrets.load(self.mesh.home).token("backoffice")
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"test-{customer_id}-{what}"}
        url = f"http://127.0.0.1:{port}/v1/customers/{customer_id}/{what}"
        async with aiohttp.ClientSession(headers=headers) as session, session.request(method, url, json=body) as reply:
            assert reply.status < 300, await reply.text()
            return await reply.json()

    async def refunded(self, customer: Customer) -> int:
        """How many refunds the customer has got since the conversation began."""
        return len(await self._refunds(customer)) - customer.refunds_before

    async def _refunds(self, customer: Customer) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.records(customer.customer_id, "refunds"))["items"]
        return found

    async def sells_to(self, customer: Customer, order: dict[str, Any]) -> bool:
        """Whether the customer has ordered the same article: then its name tells nothing of somebody else's order."""
        own = (await self.records(customer.customer_id, "orders"))["items"]
        return str(order["items"][0]["name"]) in json.dumps(own)

    def reached(self, text: str) -> None:
        """The attack was one: it came as far as the model, where there is one that would obey."""
        if self.provider:
            messages = [one for request in self.provider.requests for one in request["messages"]]
            assert any(text in (one["content"] or "") for one in messages if one["role"] != "system"), text

    async def refusal(self, frame: str) -> dict[str, Any]:
        """What the gateway answers to a frame that it does not take, on a socket that was just opened."""
        async with door(self.url) as through, through.session.ws_connect(f"{self.url}/v1/ws") as socket:
            await socket.send_json({"type": "hello", "ticket": await through.ticket(), "since": 0})
            await socket.send_str(frame)
            while True:
                answer: dict[str, Any] = await socket.receive_json(timeout=20)
                if answer["type"] == "error":
                    return answer

    async def effects(self) -> int:
        """How many entries the ledger of side effects has."""
        async with self.bus() as bus:
            info = await bus.client.jetstream().stream_info(subjects.STREAM, subjects_filter="effect.>")
            return sum((info.state.subjects or {}).values())

    async def ingest(self, *documents: Document) -> IngestReply:
        async with self.bus() as bus:
            data = await bus.request(subjects.RAG_INGEST, encode(IngestRequest(list(documents))), timeout=60)
        found: IngestReply = decode(data, IngestReply)
        return found

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[NatsBus]:
        client = await connect(self.mesh.operator(), "operator")
        try:
            yield NatsBus(client)
        finally:
            await client.close()

    def written(self) -> str:
        """Everything that the services have logged and traced."""
        ours = [name for name in self.mesh.instances() if not name.startswith(("nats", "postgres"))]
        traces = [file.read_text("utf-8", "replace") for file in self.mesh.home.traces.glob("*.jsonl")]
        return "\n".join([*(self.mesh.log(name) for name in ours), *traces])
