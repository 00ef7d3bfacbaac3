"""What a scripted model says: it calls the tools that it is offered, asks when a tool wants consent, tells results.

Just clever enough for customers of a load (parley_testkit.history.scripts) to reach their side effects.
"""

from __future__ import annotations

import re
from secrets import token_hex
from typing import Any

import msgspec

from parley_testkit.fake_provider import Script, answer, tool_calls
from parley_testkit.history.scripts import CHARGED_TWICE, CONSENT, WANTS_A_PERSON

_MINE = "call_"
_SO_FAR = "conversation_so_far"
_CHANGES = {
    "change_email": ("new_email", re.compile(r"change my e-mail address to (\S+)")),
    "change_phone": ("new_phone", re.compile(r"change my mobile number to (\+[0-9 ]+)")),
}
_HARMLESS = ("list_", "show_", "return_status", "device_status")


def reply(request: dict[str, Any]) -> Script:
    """The stream for a request of OpenAI's chat completions."""
    last = request["messages"][-1]
    if last["role"] == "tool" and last["tool_call_id"].startswith(_MINE):
        return _told(msgspec.json.decode(last["content"]))
    offered = {one["function"]["name"]: one["function"]["parameters"] for one in request.get("tools") or []}
    return _called(_said(request), _offer(request), offered) or answer("The help pages ", "say so [1].")


def _said(request: dict[str, Any]) -> str:
    return next((str(one["content"]) for one in request["messages"][::-1] if one["role"] == "user"), "")


def _offer(request: dict[str, Any]) -> dict[str, Any] | None:
    found = [one["content"] for one in request["messages"] if one.get("tool_call_id") == _SO_FAR]
    offer: dict[str, Any] | None = msgspec.json.decode(found[-1]).get("pending_offer") if found else None
    return offer


def _called(said: str, offer: dict[str, Any] | None, offered: dict[str, dict[str, Any]]) -> Script | None:
    if offer and CONSENT in said and offer["tool"] in offered:
        return _call(offer["tool"], offer["arguments"])
    for tool, (argument, pattern) in _CHANGES.items():
        if tool in offered and (found := pattern.search(said)):
            return _call(tool, {argument: found[1].strip()})
    if WANTS_A_PERSON in said and "open_ticket" in offered:
        return _call("open_ticket", {"subject": WANTS_A_PERSON})
    if CHARGED_TWICE in said and "find_duplicate_charges" in offered:
        return _call("find_duplicate_charges", {})
    reads = [name for name, needs in offered.items() if name.startswith(_HARMLESS) and not needs.get("required")]
    return _call(reads[len(said) % len(reads)], {}) if reads else None


def _told(result: dict[str, Any]) -> Script:
    if result.get("needs_confirmation"):
        return answer(result["needs_confirmation"]["question"])
    if (suggestion := result.get("suggest")) and suggestion["tool"] == "refund_payment":
        return _call(suggestion["tool"], suggestion["arguments"])
    return answer(result.get("summary") or result.get("error", {}).get("message") or "That is all I know.")


def _call(name: str, arguments: dict[str, Any]) -> Script:
    return tool_calls((f"{_MINE}{token_hex(6)}", name, msgspec.json.encode(arguments).decode()))
