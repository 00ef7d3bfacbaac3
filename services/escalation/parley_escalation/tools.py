"""What escalation can look up and do. The customer comes from the session, never from an argument."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from parley_escalation import domain
from parley_escalation.domain import NEWEST
from parley_escalation.records import Ticket
from parley_proto.specialist import Urgency
from parley_specialist.reading import now, read_list, send
from parley_specialist.tools import ToolContext, ToolRefusedError, ToolResult, tool

Subject = Annotated[
    str, Meta(min_length=3, max_length=160, description="the matter in one short sentence, in the customer's words")
]
HowUrgent = Annotated[
    Urgency,
    Meta(
        description="how urgent it is: critical for danger, fraud or theft, high for a big loss, else normal or low",
        extra_json_schema={"type": "string"},
    ),
]


@tool(
    use_when=(
        "I want to make a complaint",
        "I want to talk to a person",
        "a human please",
        "connect me to a real person",
        "put me through to an adviser or a colleague",
        "can I speak to someone",
        "get me a manager",
        "I would like to speak to a supervisor",
        "this is unacceptable",
        "your service is terrible",
        "somebody used my card",
        "I do not recognise this payment",
        "my card was stolen",
        "my phone smells of burning",
        "I will go to the ombudsman",
        "I want a copy of my data",
        "please delete all my data",
        "please open a ticket",
        "somebody should call me back",
        "nobody has solved my problem",
    ),
    key=("$turn",),
)
async def open_ticket(context: ToolContext, subject: Subject, urgency: HowUrgent = "normal") -> ToolResult:
    """Put a matter in front of people, who answer the customer."""
    about = domain.plain(subject)
    urgency = domain.raised(urgency, about)
    if not about:
        raise ToolRefusedError("Please tell me in a few words what the matter is, so that a person can take it on.")
    wish = {"subject": about, "body": domain.body(about, urgency, context.conversation)}
    ticket = await send(context, "POST", "/tickets", wish, Ticket)
    return ToolResult(domain.opened(ticket, urgency), {"ticket_id": ticket.ticket_id, "urgency": urgency})


@tool(
    use_when=(
        "what is the status of my complaint",
        "is there news about my ticket",
        "has anybody looked at my case",
        "is a person looking at my ticket",
        "has a person read my complaint",
        "show my tickets",
        "did you get my complaint",
        "what is my ticket number",
        "which tickets are open",
        "nobody has answered my complaint yet",
        "when do I get an answer to my ticket",
        "is my case closed",
        "follow up on my earlier request",
    )
)
async def list_tickets(context: ToolContext) -> ToolResult:
    """List the customer's newest tickets and whether they are still open."""
    tickets = (await read_list(context, "/tickets", Ticket))[:NEWEST]
    if not tickets:
        return ToolResult("You have no tickets.")
    at = now()
    told = [domain.ticket_told(ticket, at) for ticket in tickets]
    if any(ticket.status == "open" for ticket in tickets):
        told.append(domain.HOURS)
    return ToolResult(" ".join(told), {"tickets": [ticket.ticket_id for ticket in tickets]})
