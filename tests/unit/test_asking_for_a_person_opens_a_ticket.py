"""Inside escalation there is nobody further to pass on to: a wish for a person is a ticket that people answer."""

from __future__ import annotations

import msgspec
import pytest

from parley_escalation.spec import spec
from parley_llm_gateway.offline import pieces
from parley_proto.llm import ChatMessage, CompletionRequest, ToolCalled
from parley_specialist.prompt import tool_specs


def called(said: str) -> list[tuple[str, str]]:
    """The tools that the offline model calls for a customer's first message, with their arguments."""
    mine = spec()
    request = CompletionRequest(
        request_id="r-1",
        tenant="default",
        conversation="conversation-0001",
        messages=[ChatMessage("system", mine.instructions), ChatMessage("user", said)],
        deadline_at=0,
        tools=tool_specs(mine, [mine.card()], consulting=False),
    )
    return [(piece.call.name, piece.call.arguments) for piece in pieces(request) if isinstance(piece, ToolCalled)]


@pytest.mark.parametrize(
    "said",
    [
        "I want to talk to a person",
        "a human please",
        "Can I speak to someone?",
        "I'd like to speak to a supervisor",
        "connect me to a real person",
        "put me through to an adviser",
        "get me a manager",
        "can somebody call me back?",
    ],
)
def test_a_wish_for_a_person_is_a_ticket_in_the_customers_words(said: str) -> None:
    ((tool, arguments),) = called(said)
    assert tool == "open_ticket"
    assert msgspec.json.decode(arguments)["subject"].rstrip(".") in said


@pytest.mark.parametrize("said", ["has a person read my complaint", "is a person looking at my ticket?"])
def test_to_ask_what_people_did_is_to_look_at_the_tickets(said: str) -> None:
    assert called(said) == [("list_tickets", "{}")]
