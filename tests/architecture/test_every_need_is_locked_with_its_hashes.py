from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from parley_testkit.requirements import project_root

ROOT = project_root()
PACKAGES = sorted({*ROOT.glob("proto/pyproject.toml"), *ROOT.glob("*/*/pyproject.toml")})
# Only where packages come from: documentation may name any address.
DOWNLOADS = re.compile(r"pypi\.org|pythonhosted|--index-url|--extra-index|proxy\.golang|registry\.npmjs|/simple/")


def wanted() -> list[Requirement]:
    lines = (ROOT / "requirements.in").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def locked() -> dict[str, list[str]]:
    """The lines of each locked package: the pin, then its hashes."""
    found: dict[str, list[str]] = {}
    entry: list[str] = []
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line.startswith("#"):
            continue
        if not line.startswith(" "):
            entry = found.setdefault(canonicalize_name(line.partition("==")[0]), [])
        entry.append(line.strip(" \\"))
    return found


def test_what_a_package_needs_is_in_the_list_of_needs() -> None:
    names = {canonicalize_name(requirement.name) for requirement in wanted()}
    missing = []
    for path in PACKAGES:
        content = tomllib.loads(path.read_text())
        needs = content["project"].get("dependencies", []) + content["build-system"]["requires"]
        found = {canonicalize_name(Requirement(need).name) for need in needs}
        missing += [f"{path.parent.name}: {need}" for need in found - names if not need.startswith("parley-")]
    assert PACKAGES and not missing


def test_every_need_is_locked_and_every_lock_has_a_hash() -> None:
    lock = locked()
    assert not [requirement.name for requirement in wanted() if canonicalize_name(requirement.name) not in lock]
    for name, lines in lock.items():
        assert "==" in lines[0], name
        assert any(line.startswith("--hash=sha256:") for line in lines), name


def test_what_is_locked_is_what_was_asked_for() -> None:
    lock = locked()
    for requirement in wanted():
        pins = [line for line in lock[canonicalize_name(requirement.name)] if "==" in line]
        versions = [pin.split(";")[0].partition("==")[2].strip() for pin in pins]
        assert all(requirement.specifier.contains(version, prereleases=True) for version in versions), requirement


def test_no_file_says_where_packages_are_downloaded() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in filter(None, listed.split("\0")):
        path: Path = ROOT / name
        if path.name == Path(__file__).name or not path.is_file():
            continue
        if DOWNLOADS.search(path.read_bytes().decode("utf-8", "ignore")):
            found.append(name)
    assert not found
