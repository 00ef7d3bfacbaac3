"""The escalation specialty."""

from __future__ import annotations

from parley_escalation import tools
from parley_specialist.spec import Spec, instructions_of


def spec() -> Spec:
    return Spec(
        name="escalation",
        title="Complaints and urgent matters",
        handles=(
            "complaints, talking to a person or a supervisor, anger, fraud, payments that were not recognised, lost or "
            "stolen cards and phones, dangerous products, recalls, data protection, accessibility, contact and hours"
        ),
        instructions=instructions_of(__package__),
        tools=[tools.open_ticket, tools.list_tickets],
    )
