"""A back office on paper: what it holds is a dictionary, what it is told is a list."""

from __future__ import annotations

from typing import Any

from parley_proto.envelope import Identity
from parley_specialist.backoffice import NOT_FOUND
from parley_specialist.tools import Tool, ToolContext, ToolRefusedError, ToolResult

Answer = dict[str, Any] | str
AWAY = "I can't reach your records right now. Please try again in a few minutes."


class PaperBackoffice:
    """Answers reads from `records`, changes from `answers`; a text is a refusal. Keys are paths, and 'POST /path'.

    What is not in `records` is not there, as opposed to records that can't be read.
    """

    def __init__(self, records: dict[str, Answer], answers: dict[str, Answer] | None = None) -> None:
        self.records = records
        self.answers = answers or {}
        self.sent: list[tuple[str, dict[str, Any]]] = []

    async def get(self, path: str) -> Any:
        if path not in self.records:
            raise ToolRefusedError(f"There is nothing at {path}.", code=NOT_FOUND)
        return _told(self.records[path])

    async def send(self, method: str, path: str, body: dict[str, Any]) -> Any:
        self.sent.append((f"{method} {path}", body))
        return _told(self.answers[f"{method} {path}"])


def _told(answer: Answer) -> Any:
    if isinstance(answer, str):
        raise ToolRefusedError(answer)
    return answer


async def use(tool: Tool, backoffice: PaperBackoffice, arguments: str = "{}") -> ToolResult:
    """The result of a tool for arguments as a model writes them; they are checked as in a turn."""
    identity = Identity("default", "anna", "cus_0001")
    context = ToolContext(identity, "conversation-0001", "turn-0001", backoffice)
    return await tool.function(context, **tool.check(arguments))
