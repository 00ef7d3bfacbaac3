"""What a test needs from the machine: skipped where that is missing, unless PARLEY_REQUIRE says that it may not be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def required(what: str) -> bool:
    return what in os.environ.get("PARLEY_REQUIRE", "").split(",")


def missing(what: str, sentence: str) -> None:
    """End the test: as failed where `what` is required (`browser`, `go`), else as skipped."""
    if required(what):
        pytest.fail(f"PARLEY_REQUIRE names {what}, but {sentence}", pytrace=False)
    pytest.skip(sentence)


def project_root() -> Path:
    """The folder of this repository."""
    return next(folder for folder in Path(__file__).resolve().parents if (folder / "requirements.in").is_file())


def browser_path() -> str:
    """A Chromium to drive; ends the test where there is none."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), "")
    if not found:
        missing("browser", "there is no chromium on this machine")
    return found


def nats_command() -> str:
    """The `nats` command, which `.ci/run` builds with Go; ends the test where there is none."""
    built = project_root() / ".tools" / "bin" / "nats"
    found = str(built) if built.is_file() else shutil.which("nats") or ""
    if not found:
        missing("go", "the nats command is not there (go install github.com/nats-io/natscli/nats)")
    return found


def shared_data(name: str) -> Path:
    """A file of the folder `shared/data` beside this repository; ends the test where that is absent."""
    path = project_root().parent / "shared" / "data" / name
    if not path.is_file():
        missing("shared", f"../shared/data/{name} is not there")
    return path
