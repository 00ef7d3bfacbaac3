"""The SQL of `archive.checkpoints`, and how checkpoints travel through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parley_archiver.checkpoints import Kept
from parley_archiver.queries import MESSAGE, TYPES, milliseconds, row_arrays, row_of, time_of

if TYPE_CHECKING:
    import asyncpg

_OWN = ("remains", "rests_since")
_ALL = (*MESSAGE, *_OWN)
_KINDS = TYPES | {"rests_since": "timestamptz"}

# The newest by the log's time: a log that was made anew counts from 1 again. One that goes on is no longer retired.
UPSERT = f"""
INSERT INTO archive.checkpoints AS known ({", ".join(_ALL)})
SELECT * FROM unnest({", ".join(f"${n}::{_KINDS.get(name, 'text')}[]" for n, name in enumerate(_ALL, start=1))})
ON CONFLICT (conversation) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _ALL)}, retired_at = NULL
WHERE (known.at, known.seq) < (excluded.at, excluded.seq)
"""
ONE = f"SELECT {', '.join(_ALL)} FROM archive.checkpoints WHERE conversation = $1"
LAST_SEQ = "SELECT coalesce(max(last_seq), 0) FROM archive.conversations WHERE conversation = $1"
RESTING = f"""
SELECT {", ".join(_ALL)} FROM archive.checkpoints
WHERE retired_at IS NULL AND rests_since <= $1 AND (rests_since, conversation) > ($2, $3)
ORDER BY rests_since, conversation LIMIT $4
"""
RETIRED = "UPDATE archive.checkpoints SET retired_at = now() WHERE conversation = $1 AND seq = $2"


def arrays(kept: Sequence[Kept]) -> list[list[Any]]:
    """One array a column, as `UPSERT` takes them."""
    rests = [time_of(one.rests_since) if one.rests_since else None for one in kept]
    return [*row_arrays([one.row for one in kept]), [one.remains for one in kept], rests]


def kept_of(record: asyncpg.Record) -> Kept:
    """The checkpoint that `ONE` or `RESTING` found."""
    rests = record["rests_since"]
    return Kept(row_of(record), record["remains"], milliseconds(rests) if rests else 0)
