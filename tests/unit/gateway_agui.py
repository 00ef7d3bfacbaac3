"""What a client of AG-UI insists on, and what it shows: `verifyEvents` and the reducer of @ag-ui/client.

Written after version 1.0.0 of the npm package; every event is also checked against the types of PyPI ag-ui-protocol.
"""

from __future__ import annotations

from typing import Any

from ag_ui.core import Event as AnyEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(AnyEvent)
_ENVELOPE = {"metadata", "timestamp", "rawEvent", "type"}


class OutOfOrder(AssertionError):
    """An event that would end the stream of a stock client."""


class Verifier:
    """Accepts a legal sequence of events, event by event."""

    def __init__(self) -> None:
        self._run = ""
        self._first = True
        self._open: dict[str, set[str]] = {"message": set(), "call": set(), "step": set()}
        self.runs = 0

    @property
    def in_run(self) -> bool:
        return bool(self._run)

    def feed(self, event: dict[str, Any]) -> None:
        well_formed(event)
        kind = event["type"]
        if self._first and kind != "RUN_STARTED":
            raise OutOfOrder(f"{kind} before the first RUN_STARTED")
        self._first = False
        if not self._run and kind != "RUN_STARTED":
            raise OutOfOrder(f"{kind} between two runs")
        rule = getattr(self, f"_{kind.lower()}", None)
        if rule:
            rule(event)

    def _run_started(self, event: dict[str, Any]) -> None:
        if self._run:
            raise OutOfOrder("RUN_STARTED while a run is open")
        self._run = event["runId"]
        self.runs += 1

    def _run_finished(self, event: dict[str, Any]) -> None:
        still = {name: ids for name, ids in self._open.items() if ids}
        if still:
            raise OutOfOrder(f"RUN_FINISHED with {still} open")
        if event["runId"] != self._run:
            raise OutOfOrder("RUN_FINISHED of another run")
        self._run = ""

    def _run_error(self, _event: dict[str, Any]) -> None:
        self._run = ""
        for ids in self._open.values():
            ids.clear()

    def _text_message_start(self, event: dict[str, Any]) -> None:
        self._begin("message", event["messageId"])

    def _text_message_content(self, event: dict[str, Any]) -> None:
        self._within("message", event["messageId"])

    def _text_message_end(self, event: dict[str, Any]) -> None:
        self._finish("message", event["messageId"])

    def _tool_call_start(self, event: dict[str, Any]) -> None:
        self._begin("call", event["toolCallId"])

    def _tool_call_args(self, event: dict[str, Any]) -> None:
        self._within("call", event["toolCallId"])

    def _tool_call_end(self, event: dict[str, Any]) -> None:
        self._finish("call", event["toolCallId"])

    def _step_started(self, event: dict[str, Any]) -> None:
        self._begin("step", event["stepName"])

    def _step_finished(self, event: dict[str, Any]) -> None:
        self._finish("step", event["stepName"])

    def _begin(self, what: str, name: str) -> None:
        if name in self._open[what]:
            raise OutOfOrder(f"{what} {name} is begun twice")
        self._open[what].add(name)

    def _within(self, what: str, name: str) -> None:
        if name not in self._open[what]:
            raise OutOfOrder(f"{what} {name} is not open")

    def _finish(self, what: str, name: str) -> None:
        self._within(what, name)
        self._open[what].discard(name)


def well_formed(event: dict[str, Any]) -> None:
    """The event fits its type, has no unknown member (a client strips those and warns) and no null."""
    parsed = _EVENT.validate_python(event)
    unknown = set(parsed.model_extra or {})
    assert not unknown, f"{event['type']} has members that AG-UI does not know: {unknown}"
    assert not [name for name, value in event.items() if value is None], f"{event['type']} has a null"


class Screen:
    """What is shown. `replaces` is Parley's rule (a second START empties the message), else a stock client's."""

    def __init__(self, *, replaces: bool, messages: list[dict[str, Any]] | None = None) -> None:
        self._replaces = replaces
        self.messages = [dict(message) for message in messages or []]
        self.activities: dict[str, dict[str, Any]] = {}
        self.state: dict[str, Any] = {}

    def feed(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "TEXT_MESSAGE_START":
                self._start(event)
            case "TEXT_MESSAGE_CONTENT":
                found = self._find(event["messageId"])
                assert found is not None
                found["content"] = found.get("content", "") + event["delta"]
            case "MESSAGES_SNAPSHOT":
                self._snapshot(event["messages"])
            case "ACTIVITY_SNAPSHOT":
                assert self._find(event["messageId"]) is None, "an activity has the id of a message"
                self.activities[event["messageId"]] = event["content"]
            case "STATE_DELTA":
                for patch in event["delta"]:
                    self.state[patch["path"].removeprefix("/")] = patch["value"]

    def texts(self, role: str = "assistant") -> dict[str, str]:
        return {m["id"]: m["content"] for m in self.messages if m["role"] == role and m.get("content")}

    def _start(self, event: dict[str, Any]) -> None:
        found = self._find(event["messageId"])
        if found is None:
            self.messages.append({"id": event["messageId"], "role": event.get("role", "assistant"), "content": ""})
        elif self._replaces:
            found["content"] = ""

    def _snapshot(self, messages: list[dict[str, Any]]) -> None:
        new = {message["id"]: message for message in messages}
        kept = [dict(new.pop(message["id"])) for message in self.messages if message["id"] in new]
        self.messages = [*kept, *(dict(message) for message in new.values())]

    def _find(self, name: str) -> dict[str, Any] | None:
        return next((message for message in self.messages if message["id"] == name), None)
