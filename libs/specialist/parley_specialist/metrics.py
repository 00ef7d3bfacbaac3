"""Metrics of a specialist."""

from prometheus_client import Counter, Gauge, Histogram

TURNS = Counter("parley_turns_total", "Turns by outcome", ["specialty", "outcome"])
TURN_SECONDS = Histogram("parley_turn_seconds", "Time from assignment to outcome", ["specialty"])
TOOL_CALLS = Counter("parley_tool_calls_total", "Tool calls by result", ["specialty", "tool", "result"])
IN_FLIGHT = Gauge("parley_turns_in_flight", "Turns being answered", ["specialty"])
SLOTS = Gauge("parley_turn_slots", "Turns that may be answered at once", ["specialty"])
CONSULTS = Counter("parley_consults_total", "Consults by result", ["asker", "specialty", "result"])
EFFECTS = Counter("parley_effects_total", "Side effects by result", ["tool", "result"])
