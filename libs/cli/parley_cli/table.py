"""Columns of text, as wide as what stands in them."""

from __future__ import annotations

from collections.abc import Sequence


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A header in capitals and the rows beneath; the last column is not padded."""
    head = [name.upper() for name in columns]
    widths = [max(len(line[place]) for line in [head, *rows]) for place in range(len(columns))]
    for line in [head, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())
