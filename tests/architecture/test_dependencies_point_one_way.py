"""proto <- libs <- services; no service knows another; domain.py knows no I/O."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = {"msgspec", "parley_proto", "numpy"}
STANDARD_IO = {"asyncio", "socket", "subprocess", "ssl", "http", "aiohttp", "asyncpg", "lancedb"}
# How dates, amounts and lists are written is shared by the specialties, and as pure as their rules.
SHARED_RULES = "parley_specialist.wording"


def packages(folder: str) -> dict[str, Path]:
    return {
        path.name: path for path in ROOT.glob(f"{folder}/parley_*") if path.is_dir() and not path.name.endswith("-info")
    }


PROTO = packages("proto")
LIBS = packages("libs/*")
SERVICES = packages("services/*")


def modules(file: Path) -> set[str]:
    """The modules that a file imports, with their full names."""
    tree = ast.parse(file.read_text("utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def imports(file: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.partition(".")[0] for name in modules(file)}


def imported(package: Path) -> set[str]:
    return set().union(*(imports(file) for file in package.rglob("*.py")))


def test_there_are_packages_to_look_at() -> None:
    assert PROTO and {"parley_mesh", "parley_specialist", "parley_cli", "parley_testkit"} <= set(LIBS)
    assert len(SERVICES) >= 11


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_imports_a_service(name: str) -> None:
    assert not imported(SERVICES[name]) & (set(SERVICES) - {name})


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_imports_the_command_line_or_the_testkit(name: str) -> None:
    assert not imported(SERVICES[name]) & {"parley_cli", "parley_testkit"}


@pytest.mark.parametrize("name", sorted(LIBS))
def test_no_library_imports_a_service(name: str) -> None:
    assert not imported(LIBS[name]) & set(SERVICES)


def test_proto_imports_nothing_of_the_mesh() -> None:
    assert not imported(PROTO["parley_proto"]) & (set(LIBS) | set(SERVICES) | {"nats"})


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_domain_imports_no_nats_and_awaits_nothing(name: str) -> None:
    file = SERVICES[name] / "domain.py"
    assert file.is_file(), f"{name} has no domain.py"
    used = {name.partition(".")[0] for name in modules(file) - {SHARED_RULES}}
    assert not used & ({"nats", "parley_mesh", "parley_specialist"} | STANDARD_IO)
    tree = ast.parse(file.read_text("utf-8"))
    waiting = ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith
    assert not [node for node in ast.walk(tree) if isinstance(node, waiting)]


def test_the_wording_that_rules_share_is_pure() -> None:
    file = LIBS["parley_specialist"] / "wording.py"
    assert not imports(file) & ({"nats", "parley_mesh", "parley_specialist"} | STANDARD_IO)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_service_has_the_same_rooms(name: str) -> None:
    rooms = {file.name for file in SERVICES[name].iterdir()}
    assert {"__main__.py", "settings.py", "app.py", "domain.py"} <= rooms


def test_the_top_level_holds_what_the_layout_says() -> None:
    allowed = {"proto", "libs", "services", "compose", "k8s", "tests", "loadtest", "README.md", "Makefile"}
    allowed |= {"pyproject.toml", "requirements.in", "requirements.lock", "LICENSE"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert found <= allowed
