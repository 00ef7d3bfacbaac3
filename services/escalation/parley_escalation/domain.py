"""When people answer, and how to say it. Pure.

Hours and times are those of the help pages: 'Talking to a person', 'Making a complaint', 'Product safety and recalls'.
"""

from __future__ import annotations

import re
from datetime import datetime

from parley_escalation.records import Ticket
from parley_proto.specialist import Urgency
from parley_specialist.wording import day, here

NEWEST = 3
OPENS = 8
CLOSES = 22
# Danger, theft and fraud come before everything else, whatever anybody made of them before.
_CRITICAL = re.compile(
    r"\b(smok(e|es|ing)|burn(s|t|ing|ed)?|(on|caught|catch(es)?) fire|spark(s|ing)?|swollen|electric shock|injur\w*|"
    r"hurt|stole|stolen|robbed|fraud\w*|scam\w*|hacked|phish\w*|"
    r"(do not|don't|did not|didn't) (recogni[sz]e|make|authori[sz]e))\b",
    re.IGNORECASE,
)
HOURS = f"People answer every day from {OPENS}:00 to {CLOSES}:00, and on public holidays from 10:00 to 16:00."


def raised(urgency: Urgency, subject: str) -> Urgency:
    """The urgency that a matter deserves at least."""
    return "critical" if _CRITICAL.search(subject.replace("’", "'")) else urgency


def people_are_there(moment: datetime) -> bool:
    """Whether it is within the hours in which people answer, in British time; public holidays aside."""
    return OPENS <= here(moment).hour < CLOSES


def opens_again(moment: datetime) -> str:
    """'today' or 'tomorrow', for a moment outside the hours."""
    return "today" if here(moment).hour < OPENS else "tomorrow"


def answer_time(urgency: Urgency, moment: datetime) -> str:
    """When a person answers a ticket that is opened now, as a sentence."""
    within = {
        "critical": "before all other requests and within 1 hour",
        "high": "within 2 hours",
        "normal": "today",
        "low": "within 1 working day",
    }[urgency]
    if urgency == "low" or people_are_there(moment):
        return f"A person answers {within}."
    return f"Nobody is there at this hour, so a person answers from {OPENS}:00 {opens_again(moment)}."


def opened(ticket: Ticket, urgency: Urgency) -> str:
    """What to say once a ticket is open."""
    first = f"I have opened ticket {ticket.ticket_id}: {ticket.subject}."
    return f"{first} {answer_time(urgency, ticket.created_at)} {HOURS}"


def ticket_told(ticket: Ticket, now: datetime) -> str:
    """A ticket as a sentence."""
    state = "open: a person is looking at it" if ticket.status == "open" else ticket.status
    return f"Ticket {ticket.ticket_id} of {day(ticket.created_at, now)} ({ticket.subject}) is {state}."


def plain(text: str) -> str:
    """One line without control characters, and without a full stop of its own."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split()).rstrip(".")


def body(subject: str, urgency: Urgency, conversation: str) -> str:
    """What the people who take the ticket read."""
    return f"{subject}. Urgency: {urgency}. Opened in the chat; the conversation is {conversation}."
