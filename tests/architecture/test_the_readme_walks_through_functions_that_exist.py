"""The numbered path of one message in the README names a function a step; each of them has to be there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text("utf-8").split("## One message, step by step")[1].split("\n## ")[0]
STEPS = re.findall(r"^\d+\. .*$", SECTION, re.MULTILINE)
NAMED = re.findall(r"\[`([\w./-]+\.py):([\w.]+)`\]\(([\w./-]+)\)", SECTION)


def test_every_step_names_at_least_one_function_and_they_are_numbered_in_order() -> None:
    assert len(STEPS) >= 10
    assert [int(step.partition(".")[0]) for step in STEPS] == list(range(1, len(STEPS) + 1))
    assert all(re.search(r"\.py:[\w.]+`\]", step) for step in STEPS)


@pytest.mark.parametrize(("file", "name", "link"), NAMED)
def test_the_function_of_a_step_is_there(file: str, name: str, link: str) -> None:
    assert file == link
    node: ast.AST = ast.parse((ROOT / file).read_text("utf-8"))
    for part in name.split("."):
        defined = [n for n in ast.iter_child_nodes(node) if getattr(n, "name", None) == part]
        assert defined, f"{file} has no {name}"
        node = defined[0]
