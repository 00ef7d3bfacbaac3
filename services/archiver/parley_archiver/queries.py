"""The archive's SQL, and how rows and changes travel through it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from parley_archiver.domain import Change, Columns, Row, Sealed

if TYPE_CHECKING:
    import asyncpg

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MESSAGE = (*Columns.__struct_fields__, "salt", "nonce", "ciphertext", "digest")
TYPES = {
    "seq": "bigint",
    "at": "timestamptz",
    "salt": "bytea",
    "nonce": "bytea",
    "ciphertext": "bytea",
    "digest": "bytea",
}

INSERT = f"""
INSERT INTO archive.messages ({", ".join(MESSAGE)})
SELECT * FROM unnest({", ".join(f"${n}::{TYPES.get(name, 'text')}[]" for n, name in enumerate(MESSAGE, start=1))})
ON CONFLICT DO NOTHING RETURNING seq
"""
UPSERT = """
INSERT INTO archive.conversations AS known
    (tenant, conversation, customer_key_id, opened_at, last_at, messages, last_seq, owner, owner_seq)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[],
                     $6::bigint[], $7::bigint[], $8::text[], $9::bigint[])
ON CONFLICT (tenant, conversation) DO UPDATE SET
    customer_key_id = coalesce(known.customer_key_id, excluded.customer_key_id),
    opened_at = least(known.opened_at, excluded.opened_at),
    last_at = greatest(known.last_at, excluded.last_at),
    messages = known.messages + excluded.messages,
    last_seq = greatest(known.last_seq, excluded.last_seq),
    owner = CASE WHEN excluded.owner_seq > known.owner_seq THEN excluded.owner ELSE known.owner END,
    owner_seq = greatest(known.owner_seq, excluded.owner_seq)
"""
OWNERS = """
SELECT DISTINCT ON (conversation) conversation, tenant, customer_key_id FROM archive.conversations
WHERE conversation = ANY($1) AND customer_key_id IS NOT NULL ORDER BY conversation, opened_at
"""
# The newest rows whose bodies fit together; the size of a stored-aside ciphertext is known without reading it.
TRANSCRIPT = f"""
SELECT {", ".join(MESSAGE)} FROM (
    SELECT *, sum(octet_length(ciphertext)) OVER (ORDER BY seq DESC) AS total FROM (
        SELECT {", ".join(MESSAGE)} FROM archive.messages WHERE tenant = $1 AND conversation = $2
        ORDER BY seq DESC LIMIT $3
    ) AS newest
) AS fitting WHERE total <= $4 ORDER BY seq
"""


def message_arrays(batch: Sequence[Sealed]) -> list[list[Any]]:
    """One array a column, as `INSERT` takes them."""
    return row_arrays([sealed.row for sealed in batch])


def row_arrays(rows: Sequence[Row]) -> list[list[Any]]:
    """One array for each of `MESSAGE`."""
    columns = [[_stored(row.columns, name) for row in rows] for name in Columns.__struct_fields__]
    return columns + [[getattr(row, name) for row in rows] for name in ("salt", "nonce", "ciphertext", "digest")]


def _stored(columns: Columns, name: str) -> Any:
    return time_of(columns.at) if name == "at" else getattr(columns, name)


def change_arrays(changed: Sequence[Change]) -> list[list[Any]]:
    """One array a field of `Change`, as `UPSERT` takes them."""
    arrays = [[getattr(change, name) for change in changed] for name in Change.__struct_fields__]
    for place, name in enumerate(Change.__struct_fields__):
        if name.endswith("_at"):
            arrays[place] = [time_of(value) for value in arrays[place]]
    return arrays


def row_of(record: asyncpg.Record) -> Row:
    """The row that `TRANSCRIPT` found."""
    values = {name: record[name] for name in Columns.__struct_fields__} | {"at": milliseconds(record["at"])}
    return Row(Columns(**values), record["salt"], record["nonce"], record["ciphertext"], record["digest"])


def time_of(at: int) -> datetime:
    """Milliseconds since 1970 as PostgreSQL takes them."""
    return _EPOCH + timedelta(milliseconds=at)


def milliseconds(time: datetime) -> int:
    """Since 1970."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def months(batch: Sequence[Sealed]) -> set[date]:
    """The first days of the months (UTC) that `batch` falls into: one partition each."""
    return {time_of(sealed.row.columns.at).date().replace(day=1) for sealed in batch}
