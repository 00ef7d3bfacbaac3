"""The log formatter: types and places of errors, and texts of our own only."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from parley_mesh.telemetry import JsonLines
from parley_proto.errors import TransientError


def logged(error: Exception) -> dict[str, Any]:
    try:
        raise error
    except Exception:
        record = logging.LogRecord("parley", logging.ERROR, __file__, 1, "work failed", (), sys.exc_info())
    line: dict[str, Any] = json.loads(JsonLines("rag", "rag-1").format(record))
    return line


def test_the_text_of_a_foreign_error_stays_out_and_its_place_is_told() -> None:
    line = logged(ValueError("canary jo@example.org"))
    assert "canary" not in json.dumps(line)
    assert line["error"] == "ValueError"
    assert any("test_an_error_is_logged" in frame for frame in line["stack"])


def test_our_own_sentence_is_told_and_the_foreign_cause_is_not() -> None:
    error = TransientError("The log is away.")
    error.__cause__ = KeyError("canary 4111 1111 1111 1111")
    line = logged(error)
    assert line["stack"][0] == "TransientError: The log is away."
    assert "KeyError" in line["stack"] and "canary" not in json.dumps(line)


def test_a_chain_that_bites_its_tail_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert len(logged(first)["stack"]) <= 24
