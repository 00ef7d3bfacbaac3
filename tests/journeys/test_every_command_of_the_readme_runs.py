"""The README as a newcomer reads it: each of its commands is run, in its order, as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from parley_testkit.mesh import RunningMesh
from parley_testkit.requirements import project_root

ROOT = project_root()
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.strip().splitlines()]
INLINE = [f".venv/bin/{command}" for command in re.findall(r"`(parley [^`]+)`", README)]


class Newcomer:
    """A shell in the project's folder; data and ports are kept apart from those of whoever runs the tests."""

    def __init__(self, apart: RunningMesh) -> None:
        unhurried = {"UP": "--detach", "PARLEY_UP_READY_S": "1000"}
        self.environ = apart.environ | {"PARLEY_DATA": str(apart.home.root)} | unhurried
        self.thread = ""

    def __call__(self, command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", command.replace(" ID", f" {self.thread}")],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=1100,
        )
        found = re.search(r"^thread (\S+)$", done.stderr, re.MULTILINE)
        self.thread = found[1] if found else self.thread
        return done


@pytest.fixture(scope="module")
def newcomer() -> Iterator[Newcomer]:
    apart = RunningMesh()
    try:
        yield Newcomer(apart)
    finally:
        apart.end()


def test_the_readme_begins_with_the_two_commands() -> None:
    assert COMMANDS[0] == "make up" and COMMANDS[1].startswith('.venv/bin/parley chat "')
    assert COMMANDS[-1] == ".venv/bin/parley down"


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_a_command_of_a_block_does_what_it_says(newcomer: Newcomer, command: str) -> None:
    done = newcomer(command)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [command for command in INLINE if "NAME" not in command])
def test_a_command_named_in_passing_does_too(newcomer: Newcomer, command: str) -> None:
    done = newcomer(command)
    already = command.startswith(".venv/bin/parley up") and done.returncode == 2 and "already" in done.stderr
    assert done.returncode == 0 or already, done.stderr


def test_down_ends_it(newcomer: Newcomer) -> None:
    assert newcomer(COMMANDS[-1]).returncode == 0
    assert newcomer(".venv/bin/parley status").returncode == 2


def test_every_variable_that_the_readme_names_is_a_setting(newcomer: Newcomer) -> None:
    shown = newcomer(".venv/bin/parley config show --json")
    assert json.loads(shown.stdout)
    for name in set(re.findall(r"PARLEY_[A-Z][A-Z_]+[A-Z]", README)):
        assert name in shown.stdout, f"{name} is no setting"


def test_every_folder_that_the_readme_names_is_there() -> None:
    for folder in re.findall(r"^\| `([\w/]+?)/?`", README, re.MULTILINE):
        assert os.path.isdir(ROOT / folder), folder
