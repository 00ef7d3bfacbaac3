"""What makes a specialty: its instructions, tools and rules. Everything else is shared."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import msgspec

from parley_proto.specialist import AssignTurn, Burst, Card
from parley_specialist.tools import Tool


class Rules(msgspec.Struct, frozen=True):
    """Pure rules of a specialty. `check` refuses a tool call before anything happens: '' lets it pass,
    a sentence refuses it and is told to the customer.
    """

    check: Callable[[str, dict[str, object], AssignTurn], str] = lambda _tool, _arguments, _turn: ""


class Spec(msgspec.Struct, frozen=True):
    """`handles` tells the others what belongs here: short phrases, comma-separated. `burst`: see `Card`."""

    name: str
    title: str
    handles: str
    instructions: str
    tools: list[Tool]
    rules: Rules = Rules()
    version: str = "1"
    burst: Burst = "merge"

    def card(self) -> Card:
        return Card(self.name, self.title, self.handles, self.version, self.burst)


def instructions_of(package: str) -> str:
    """The text of `instructions.md` in a specialist's package."""
    return files(package).joinpath("instructions.md").read_text("utf-8")
