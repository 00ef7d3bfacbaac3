"""A restore that was killed between its two moves: the table is back at the next start, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from parley_rag.snapshots.restoring import undo_half


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "knowledge.lance"


def made(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "data").write_text(text)


def test_the_newest_that_was_moved_aside_is_back(table: Path) -> None:
    made(table.with_name("knowledge.lance.damaged-20260101T000000Z"), "long ago")
    made(table.with_name("knowledge.lance.damaged-20261101T000000Z"), "just now")
    made(table.with_name("knowledge.lance.restoring-1"), "to be put in place")
    assert undo_half(table).endswith("20261101T000000Z")
    assert (table / "data").read_text() == "just now"


@pytest.mark.parametrize("there", ["table", "no copy"])
def test_a_table_that_is_there_or_was_removed_by_a_person_is_left_alone(table: Path, there: str) -> None:
    made(table.with_name("knowledge.lance.damaged-20261101T000000Z"), "damaged")
    if there == "table":
        made(table, "sound")
        made(table.with_name("knowledge.lance.restoring-1"), "half")
    assert undo_half(table) == ""
    assert table.exists() == (there == "table")
