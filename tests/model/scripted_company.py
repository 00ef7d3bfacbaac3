"""What stands in for the rest of the world: a model that follows a script, and the company that refunds payments."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated, Any

import msgspec
import nats.errors
from faulty_wire import FaultyWire
from msgspec import Meta

from parley_proto.envelope import Identity
from parley_proto.errors import TransientError
from parley_proto.llm import CompletionRequest, Finished, ToolCall, Usage
from parley_proto.rag import Passage
from parley_proto.specialist import Burst, Card, RouteHint
from parley_specialist.backoffice import NOT_SENT
from parley_specialist.clients import Completion, OnText
from parley_specialist.prompt import ESCALATE, HANDOFF
from parley_specialist.spec import Spec
from parley_specialist.tools import ToolContext, ToolRefusedError, ToolResult, tool

THINKING_S = 0.2
SPECIALTIES: dict[str, Burst] = {"billing": "merge", "technical": "interrupt", "escalation": "queue"}


class Company:
    """The third party. One that is not `idempotent` does a call as often as it hears it, whatever its key.

    It refuses the next `refusals` calls, and keeps none of them as its answer to their key.
    """

    def __init__(self, *, idempotent: bool) -> None:
        self.idempotent = idempotent
        self.refusals = 0
        self.refunds: Counter[str] = Counter()
        self._answers: dict[str, str] = {}

    async def refund(self, key: str, payment_id: str) -> str | None:
        """The number of the refund; None where it is refused."""
        await asyncio.sleep(THINKING_S / 4)
        if self.idempotent and key in self._answers:
            return self._answers[key]
        if self.refusals:
            self.refusals -= 1
            return None
        self.refunds[payment_id] += 1
        self._answers[key] = f"REF-{sum(self.refunds.values())}"
        return self._answers[key]


class Backoffice:
    """The company as one process reaches it."""

    def __init__(self, company: Company, wire: FaultyWire) -> None:
        self._company = company
        self._wire = wire

    def of(self, _identity: Identity, key: str = "", **_: Any) -> Customer:
        return Customer(self._company, self._wire, key)


class Customer:
    def __init__(self, company: Company, wire: FaultyWire, key: str) -> None:
        self._company = company
        self._wire = wire
        self._key = key

    async def send(self, _method: str, path: str, _body: dict[str, Any]) -> Any:
        sent = False

        async def perform() -> str | None:
            nonlocal sent
            sent = True
            return await self._company.refund(self._key, path)

        try:
            answer = await self._wire.through("effect", perform)
        except nats.errors.TimeoutError as error:
            raise TransientError("The company does not answer.", code="backoffice" if sent else NOT_SENT) from error
        if answer is None:
            raise ToolRefusedError("The company refuses this.")
        return answer


@tool(use_when=("refund",), key=("payment_id",))
async def refund(context: ToolContext, payment_id: Annotated[str, Meta(pattern=r"^PAY-\d+$")]) -> ToolResult:
    """Refund a payment."""
    number = await context.backoffice.send("POST", payment_id, {})
    return ToolResult(f"{payment_id} was refunded.", {"refund": number})


def spec(name: str) -> Spec:
    return Spec(name, name.title(), name, f"You are {name}.", [refund], burst=SPECIALTIES[name])


class Script:
    """Does what the customer's last words name; the same words always get the same answer."""

    def __init__(self, specialty: str) -> None:
        self._specialty = specialty

    async def complete(self, request: CompletionRequest, on_text: OnText) -> Completion:
        await asyncio.sleep(THINKING_S)
        said = [message.content for message in request.messages if message.role == "user"]
        called = [message.name for message in request.messages if message.role == "tool"]
        verb, _, rest = said[-1].partition(" ")
        completion = Completion()
        completion.finished = Finished("stop", "scripted", Usage(1, 1))
        call = self._call(verb, rest)
        if call and call.name not in called:
            completion.calls = [call]
        elif verb == "fail":
            raise TransientError("The model is away.")
        else:
            completion.text = f"This is about: {said[-1]}."
            await on_text(0, completion.text)
        return completion

    async def cancel(self, request_id: str) -> None:
        """Nobody listens: the script ends by itself."""

    def _call(self, verb: str, rest: str) -> ToolCall | None:
        calls: dict[str, tuple[str, dict[str, Any]]] = {
            "refund": ("refund", {"payment_id": rest}),
            "move": (HANDOFF, {"to": "technical" if self._specialty == "billing" else "billing", "reason": "theirs"}),
            "person": (ESCALATE, {"urgency": "high", "reason": "asked for"}),
        }
        if verb not in calls or (self._specialty == "escalation" and verb != "refund"):
            return None
        name, arguments = calls[verb]
        return ToolCall("call-1", name, msgspec.json.encode(arguments).decode())


class Known:
    """The cards of all specialties, no notices, no knowledge, and a router that goes by one word."""

    def names(self) -> list[str]:
        return sorted(SPECIALTIES)

    def cards(self) -> list[Card]:
        return [Card(name, name.title(), name, "1", SPECIALTIES[name]) for name in self.names()]

    def burst(self, name: str) -> Burst:
        return SPECIALTIES.get(name, "merge")

    def in_force(self, _specialty: str = "") -> list[Any]:
        return []

    async def search(self, *_: Any) -> list[Passage]:
        return []

    def route(self, _vector: bytes, text: str = "") -> RouteHint:
        if text.strip() == "hm":
            return RouteHint()
        return RouteHint("technical" if "device" in text else "billing", 0.9)
