from __future__ import annotations

import logging

import pytest


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of planned faults are no news."""
    monkeypatch.setattr(logging.getLogger("parley"), "disabled", True)
    logger = logging.getLogger("parley")
    monkeypatch.setattr(logger, "level", logging.CRITICAL + 1)
