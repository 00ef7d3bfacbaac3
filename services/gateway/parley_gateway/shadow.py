"""What a stock AG-UI client shows during a run: kept so that words can be taken back by a snapshot."""

from __future__ import annotations

from typing import Any

from parley_gateway.events import Event


class Shadow:
    """The client's own `messages` with what this run has added. Activities stay out: clients keep their own."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self._messages = [message for message in messages if message.get("role") not in ("activity", "reasoning")]
        # Apart from the history, which can be long: each word of an answer changes one of these.
        self._added: list[dict[str, Any]] = []

    def without(self, message_id: str) -> list[dict[str, Any]]:
        """Everything but `message_id`, as copies that later events don't change."""
        self._messages, self._added = (
            [message for message in messages if message.get("id") != message_id]
            for messages in (self._messages, self._added)
        )
        return [dict(message) for message in (*self._messages, *self._added)]

    def apply(self, ev: Event) -> None:
        match ev["type"]:
            case "TEXT_MESSAGE_START":
                self._added.append({"id": ev["messageId"], "role": ev["role"], "content": ""})
            case "TEXT_MESSAGE_CONTENT":
                for message in self._added:
                    if message["id"] == ev["messageId"]:
                        message["content"] = f"{message.get('content', '')}{ev['delta']}"
            case "TOOL_CALL_START":
                self._added.append(_called(ev))
            case "TOOL_CALL_RESULT":
                result = {"id": ev["messageId"], "role": "tool", "toolCallId": ev["toolCallId"]}
                self._added.append(result | {"content": ev["content"]})


def _called(ev: Event) -> dict[str, Any]:
    function = {"name": ev["toolCallName"], "arguments": "{}"}
    call = {"id": ev["toolCallId"], "type": "function", "function": function}
    return {"id": ev["toolCallId"], "role": "assistant", "toolCalls": [call]}
