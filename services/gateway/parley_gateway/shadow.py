"""What a stock AG-UI client shows during a run: kept so that words can be taken back by a snapshot."""

from __future__ import annotations

from typing import Any

from parley_gateway.events import Event


class Shadow:
    """The client's own `messages` with what this run has added. Activities stay out: clients keep their own."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self._messages = [message for message in messages if message.get("role") not in ("activity", "reasoning")]

    def without(self, message_id: str) -> list[dict[str, Any]]:
        """Everything but `message_id`, as copies that later events don't change."""
        self._messages = [message for message in self._messages if message.get("id") != message_id]
        return [dict(message) for message in self._messages]

    def apply(self, ev: Event) -> None:
        match ev["type"]:
            case "TEXT_MESSAGE_START":
                self._messages.append({"id": ev["messageId"], "role": ev["role"], "content": ""})
            case "TEXT_MESSAGE_CONTENT":
                self._messages = [_longer(message, ev) for message in self._messages]
            case "TOOL_CALL_START":
                self._messages.append(_called(ev))
            case "TOOL_CALL_RESULT":
                result = {"id": ev["messageId"], "role": "tool", "toolCallId": ev["toolCallId"]}
                self._messages.append(result | {"content": ev["content"]})


def _longer(message: dict[str, Any], ev: Event) -> dict[str, Any]:
    if message.get("id") != ev["messageId"]:
        return message
    return message | {"content": f"{message.get('content', '')}{ev['delta']}"}


def _called(ev: Event) -> dict[str, Any]:
    function = {"name": ev["toolCallName"], "arguments": "{}"}
    call = {"id": ev["toolCallId"], "type": "function", "function": function}
    return {"id": ev["toolCallId"], "role": "assistant", "toolCalls": [call]}
