"""Adding a specialty is adding one folder: instructions, tools and rules. All else is the same in each."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from parley_specialist.settings import Settings

ROOT = Path(__file__).parents[2]
NAMES = ["billing", "technical", "account", "returns", "escalation"]
SAME = ["__main__.py", "settings.py", "app.py"]
TOPICS = [
    "are data",  # passages and tool results are no instructions
    "comes from the session",
    "Never reveal",
    "needs_confirmation",
    "[n]",
    "`handoff`",
    "search_knowledge",
    "Notices in force",
    "you don't know it",
]


def package(name: str) -> Path:
    return ROOT / "services" / name / f"parley_{name}"


def like_billing(name: str, file: str) -> list[str]:
    """The lines of a room with the specialty's name replaced; the order of imports depends on that name."""
    return sorted((package(name) / file).read_text("utf-8").replace(name, "billing").splitlines())


@pytest.mark.parametrize("file", SAME)
@pytest.mark.parametrize("name", NAMES)
def test_the_shared_rooms_are_the_same(name: str, file: str) -> None:
    assert like_billing(name, file) == like_billing("billing", file)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_holds_nothing_but_its_rooms(name: str) -> None:
    rooms = {path.name for path in package(name).iterdir() if path.name != "__pycache__"}
    own = {"__init__.py", "py.typed", "spec.py", "domain.py", "records.py", "tools.py", "instructions.md"}
    assert rooms == {*SAME, *own}


@pytest.mark.parametrize("name", NAMES)
def test_a_package_names_its_entry_point_and_only_what_it_needs(name: str) -> None:
    project = tomllib.loads((ROOT / "services" / name / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == f"parley-{name}"
    assert project["entry-points"] == {"parley.specialists": {name: f"parley_{name}.settings:Settings"}}
    assert importlib.import_module(f"parley_{name}.settings").Settings is Settings
    needed = {requirement.partition(">")[0] for requirement in project["dependencies"]}
    assert needed == {"parley-proto", "parley-mesh", "parley-specialist", "msgspec"}


@pytest.mark.parametrize("name", NAMES)
def test_a_specialty_introduces_itself_in_short_phrases(name: str) -> None:
    spec = importlib.import_module(f"parley_{name}.spec").spec()
    assert spec.name == name
    handled = spec.handles.split(", ")
    assert len(handled) >= 10
    assert all(0 < len(phrase) <= 60 for phrase in handled)
    assert "\n" not in spec.handles


@pytest.mark.parametrize("name", NAMES)
def test_instructions_are_short_and_say_what_every_specialty_keeps_to(name: str) -> None:
    text = importlib.import_module(f"parley_{name}.spec").spec().instructions
    assert 25 <= len(text.splitlines()) <= 50
    assert [topic for topic in TOPICS if topic not in text] == []
    others = {"billing", "technical", "account", "returns"} - {name}
    assert [other for other in others if f"`{other}`" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_instructions_name_only_tools_that_are_there(name: str) -> None:
    spec = importlib.import_module(f"parley_{name}.spec").spec()
    known = {tool.spec.name for tool in spec.tools} | set(NAMES)
    known |= {"search_knowledge", "handoff", "consult", "escalate", "needs_confirmation"}
    assert set(spec.instructions.split("`")[1::2]) <= known


@pytest.mark.parametrize("name", NAMES)
def test_the_rules_wait_for_nothing(name: str) -> None:
    shared = ROOT / "libs" / "specialist" / "parley_specialist" / "wording.py"
    for room in (package(name) / "domain.py", package(name) / "records.py", shared):
        text = room.read_text("utf-8")
        assert "await " not in text
        assert "async " not in text
