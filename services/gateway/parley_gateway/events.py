"""AG-UI's events as they stand on the wire: camelCase, without nulls. Parley's own facts go in `metadata.parley`.

The types are those of the protocol's version 1.0 (PyPI `ag-ui-protocol`); tests check every event against them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from parley_proto.conversation import MessageShown, OwnerChanged
from parley_proto.specialist import Line

Event = dict[str, Any]
USER = "user"
_ROLES = {"customer": USER, "assistant": "assistant", "system": "system"}


def role_of(message: MessageShown) -> str:
    return _ROLES[message.role]


def run_started(thread: str, run: str) -> Event:
    return {"type": "RUN_STARTED", "threadId": thread, "runId": run}


def run_finished(thread: str, run: str, *, cancelled: str = "", answers: Sequence[str] = ()) -> Event:
    """`cancelled` says why a run ends without a message, `answers` which messages stay without one for good."""
    event: Event = {"type": "RUN_FINISHED", "threadId": thread, "runId": run}
    if cancelled:
        known = {"reason": cancelled} | ({"answers": list(answers)} if answers else {})
        event |= {"outcome": {"type": "cancelled"}, "metadata": {"parley": known}}
    return event


def run_error(code: str, message: str) -> Event:
    return {"type": "RUN_ERROR", "message": message, "code": code}


def text_start(message_id: str, role: str, facts: dict[str, Any] | None = None) -> Event:
    return _with({"type": "TEXT_MESSAGE_START", "messageId": message_id, "role": role}, facts)


def text_content(message_id: str, delta: str) -> Event:
    return {"type": "TEXT_MESSAGE_CONTENT", "messageId": message_id, "delta": delta}


def text_end(message_id: str, facts: dict[str, Any] | None = None) -> Event:
    return _with({"type": "TEXT_MESSAGE_END", "messageId": message_id}, facts)


def step(name: str, *, started: bool) -> Event:
    return {"type": "STEP_STARTED" if started else "STEP_FINISHED", "stepName": name}


def tool_start(call_id: str, name: str) -> Event:
    return {"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": name}


def tool_args(call_id: str) -> Event:
    return {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": "{}"}


def tool_end(call_id: str) -> Event:
    return {"type": "TOOL_CALL_END", "toolCallId": call_id}


def tool_result(call_id: str) -> Event:
    return {
        "type": "TOOL_CALL_RESULT",
        "messageId": f"result-{call_id}",
        "toolCallId": call_id,
        "content": "",
        "role": "tool",
    }


def activity(message_id: str, kind: str, content: dict[str, Any]) -> Event:
    return {"type": "ACTIVITY_SNAPSHOT", "messageId": message_id, "activityType": kind, "content": content}


def owner_delta(owner: str, epoch: int) -> Event:
    # `add` also replaces, so that the patch fits a state that has never heard of an owner.
    value = {"owner": owner, "epoch": epoch}
    return {"type": "STATE_DELTA", "delta": [{"op": "add", "path": "/parley", "value": value}]}


def messages_snapshot(messages: list[dict[str, Any]]) -> Event:
    return {"type": "MESSAGES_SNAPSHOT", "messages": messages}


def custom(name: str, value: dict[str, Any]) -> Event:
    return {"type": "CUSTOM", "name": name, "value": value}


def handoff(change: OwnerChanged) -> Event:
    content = {"owner": change.owner, "previous": change.previous, "epoch": change.epoch, "reason": change.reason}
    return activity(f"handoff-{change.epoch}", "handoff", content)


def facts(message: MessageShown) -> dict[str, Any]:
    """What Parley knows of a message beyond its text; empty values are left out."""
    known = {
        "clientId": message.client_id,
        "specialty": message.specialty,
        "kind": message.kind,
        "model": message.model,
        "offline": message.offline,
        "citations": msgspec.to_builtins(message.citations),
        "at": message.at,
        "epoch": message.epoch,
        "answers": list(message.answers),
    }
    return {name: value for name, value in known.items() if value}


def whole(message: MessageShown) -> dict[str, Any]:
    """The message as a snapshot has it."""
    return {
        "id": message.message_id,
        "role": role_of(message),
        "content": message.text,
        "metadata": {"parley": facts(message)},
    }


def remembered(line: Line) -> dict[str, Any]:
    """A message that only the owner still remembers, as a snapshot has it."""
    message: dict[str, Any] = {"id": line.message_id, "role": _ROLES[line.role], "content": line.text}
    known = {"specialty": line.specialty, "at": line.at}
    return message | {"metadata": {"parley": {name: value for name, value in known.items() if value}}}


def _with(event: Event, facts: dict[str, Any] | None) -> Event:
    return event | {"metadata": {"parley": facts}} if facts else event
