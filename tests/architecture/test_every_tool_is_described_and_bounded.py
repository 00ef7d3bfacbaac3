"""What a model may call: each tool says what it does and when, takes nothing unknown, and never who the customer is."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import msgspec
import pytest

from parley_proto.errors import PermanentError
from parley_specialist.prompt import CONSULT, ESCALATE, HANDOFF, SEARCH
from parley_specialist.spec import Spec
from parley_specialist.tools import TURN, Tool

SPECIALTIES = {"billing", "technical", "account", "returns", "escalation"}
WHO = re.compile(r"customer|tenant|principal|identity|user|owner|person|account_id|session|profile_id", re.IGNORECASE)


def specs() -> list[Spec]:
    names = sorted(point.name for point in entry_points(group="parley.specialists"))
    return [import_module(f"parley_{name}.spec").spec() for name in names]


SPECS = specs()
TOOLS = [pytest.param(tool, id=f"{spec.name}.{tool.spec.name}") for spec in SPECS for tool in spec.tools]
PARAMETERS = [
    pytest.param(name, schema, id=f"{tool.spec.name}.{name}")
    for spec in SPECS
    for tool in spec.tools
    for name, schema in tool.spec.parameters["properties"].items()
]
EFFECTS = [param for param in TOOLS if param.values[0].effect]  # type: ignore[union-attr]


def phrases(tool: Tool) -> list[str]:
    return [phrase.strip() for phrase in tool.spec.description.partition("\nUse when: ")[2].split(";")]


def test_all_specialties_are_there() -> None:
    assert {spec.name for spec in SPECS} >= SPECIALTIES
    assert EFFECTS


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_takes_an_object_without_unknown_parts(tool: Tool) -> None:
    schema = tool.spec.parameters
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)
    assert set(schema["required"]) <= set(schema["properties"])
    with pytest.raises(PermanentError):
        tool.check('{"surprise": 1}')


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_says_what_it_does_and_when_to_use_it(tool: Tool) -> None:
    what = tool.spec.description.partition("\n")[0]
    assert what.endswith(".")
    wordings = phrases(tool)
    assert 8 <= len(wordings) <= 20
    assert len(set(wordings)) == len(wordings)
    # A number of an order in a wording would make every message with a number look like this tool.
    assert not [wording for wording in wordings if re.search(r"[A-Z]{3}-\d|@", wording)]


@pytest.mark.parametrize("tool", EFFECTS)
def test_what_is_checked_before_asking_takes_what_the_tool_takes(tool: Tool) -> None:
    checked = tool.before_asking or tool.function
    inspect.signature(checked).bind(None, **dict.fromkeys(tool.spec.parameters["properties"]))


@pytest.mark.parametrize(("name", "schema"), PARAMETERS)
def test_an_argument_is_described_for_a_question_and_bounded(name: str, schema: dict[str, Any]) -> None:
    assert re.match(r"(the|why|how|what|which|when|whether) ", schema["description"])
    assert not schema["description"].endswith((".", "?"))
    assert schema["type"] == "string"
    assert {"pattern", "enum", "maxLength"} & set(schema)
    if pattern := schema.get("pattern"):
        assert pattern.startswith("^") and pattern.endswith("$")
    if "default" in schema:
        assert re.fullmatch(schema.get("pattern", ".*"), schema["default"])
        assert schema["default"] in schema.get("enum", [schema["default"]])


@pytest.mark.parametrize("tool", TOOLS)
def test_no_argument_says_who_the_customer_is(tool: Tool) -> None:
    assert not [name for name in tool.spec.parameters["properties"] if WHO.search(name)]
    with pytest.raises(PermanentError):
        tool.check('{"customer_id": "cus_0002"}')


@pytest.mark.parametrize("tool", EFFECTS)
def test_an_effect_has_a_key_of_its_own_arguments_or_of_the_turn(tool: Tool) -> None:
    assert set(tool.key) <= set(tool.spec.parameters["properties"]) | {TURN}
    assert TURN in tool.key or set(tool.key) & set(tool.spec.parameters["required"])
    assert len(set(tool.key)) == len(tool.key)


@pytest.mark.parametrize("tool", TOOLS)
def test_only_an_effect_changes_something(tool: Tool) -> None:
    assert (" send(" in inspect.getsource(tool.function)) is tool.effect
    assert ".send(" not in inspect.getsource(tool.function)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_question_of_confirmation_names_what_is_confirmed(tool: Tool) -> None:
    if not tool.confirm:
        return
    assert tool.effect
    assert tool.confirm.startswith("Shall I ")
    assert "?" in tool.confirm
    named = {name: f"<{name}>" for name in tool.spec.parameters["properties"]}
    question = tool.question(named)
    assert all(f"<{name}>" in question for name in tool.spec.parameters["required"])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_what_costs_or_can_not_be_undone_is_confirmed(spec: Spec) -> None:
    harmless = {"send_password_reset", "open_ticket"}
    assert {tool.spec.name for tool in spec.tools if tool.effect and not tool.confirm} <= harmless


def test_names_of_tools_are_unique_and_leave_the_loops_own_alone() -> None:
    names = [tool.spec.name for spec in SPECS for tool in spec.tools]
    assert len(set(names)) == len(names)
    assert not set(names) & {SEARCH, HANDOFF, ESCALATE, CONSULT}
    assert all(re.fullmatch(r"[a-z][a-z_]{2,40}", name) for name in names)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_specification_is_plain_json(tool: Tool) -> None:
    assert msgspec.json.decode(msgspec.json.encode(tool.spec), type=type(tool.spec)) == tool.spec
    assert "$ref" not in msgspec.json.encode(tool.spec).decode()
