from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nats.aio.client import Client

from parley_archiver.adapters import MemoryStore
from parley_archiver.checkpoints import Kept, Place, keep, newest
from parley_archiver.domain import Columns
from parley_archiver.retirement import Seen, marker_of, obstacle, revision_of
from parley_archiver.retiring import Retiring
from parley_archiver.sealing import seal
from parley_archiver.trimming import LogEnd, worker_of
from parley_mesh.bus import Stored
from parley_mesh.memory import MemoryBus
from parley_mesh.topology import turn_consumer
from parley_proto import subjects
from parley_proto.conversation import Checkpoint
from parley_proto.envelope import decode, encode, now_ms
from parley_proto.errors import TransientError
from parley_proto.specialist import Line
from parley_testkit.samples import AT, CONVERSATION, IDENTITY, LINE, MESSAGES

BUSY = next(message for message in MESSAGES if isinstance(message, Checkpoint))
RESTING = msgspec.structs.replace(BUSY, turn=None, window=[LINE], turns=3, updated_at=AT)
SUBJECT = subjects.checkpoint(CONVERSATION)


def head(seq: int = 7, data: bytes = b"{}", headers: dict[str, str] | None = None) -> Stored:
    return Stored(SUBJECT, seq, data, headers or {}, AT)


def kept(checkpoint: Checkpoint = RESTING, revision: int = 7) -> Kept:
    columns = Columns("t", "log", revision, AT, CONVERSATION, SUBJECT, "Checkpoint", "mesh", "", "", "k")
    return keep(seal(columns, encode(checkpoint), AESGCM(bytes(32))), checkpoint)


def seen(**different: Any) -> Seen:
    """A conversation that may go: its checkpoint at 7, its last entry at 6, everything archived and handled up to 9."""
    may_go: dict[str, Any] = {
        "head": head(),
        "kept": kept(),
        "committed": 9,
        "archived": 6,
        "entry": 6,
        "handled": 9,
    }
    return Seen(**(may_go | different))


def test_what_rests_and_is_archived_and_handled_may_go() -> None:
    assert obstacle(seen(), AT) == ""
    assert obstacle(seen(head=head(12, b"", marker_of(7))), AT) == "", "a marker of ours stands for what is archived"
    assert obstacle(seen(entry=0, archived=0), AT) == "", "its entries have gone already"


@pytest.mark.parametrize(
    ("different", "reason"),
    [
        ({"head": head(8)}, "checkpoint is not in the archive"),
        ({"head": head(12, b"", marker_of(8))}, "checkpoint is not in the archive"),
        ({"head": head(12, b"")}, "checkpoint is not in the archive"),
        ({"head": head(12, b"", {"Parley-Retired": "seven"})}, "checkpoint is not in the archive"),
        ({"kept": kept(BUSY)}, "A turn is open"),
        ({"kept": kept(msgspec.structs.replace(RESTING, queue=[LINE]))}, "messages wait"),
        ({"kept": kept(msgspec.structs.replace(RESTING, updated_at=AT + 1))}, "not rested long enough"),
        ({"committed": 6}, "message is not in the archive"),
        ({"entry": 10, "archived": 10, "handled": 10}, "message is not in the archive"),
        ({"archived": 5}, "message is not in the archive"),
        ({"handled": 5}, "has not been handled"),
    ],
)
def test_whatever_is_not_safe_yet_keeps_it_in_the_log(different: dict[str, Any], reason: str) -> None:
    assert reason in obstacle(seen(**different), AT)


def test_of_a_batch_the_newest_checkpoint_of_each_conversation_counts_and_markers_are_none() -> None:
    older = msgspec.structs.replace(RESTING, turns=2)
    batch = [
        head(7, encode(RESTING)),
        head(5, encode(older)),
        head(9, b"", marker_of(7)),
        head(8, b"not a checkpoint"),
        Stored(subjects.out(CONVERSATION), 6, encode(RESTING), {}, AT),
        Stored(subjects.checkpoint("another-conversation"), 10, encode(RESTING), {}, AT),
    ]
    assert newest(batch) == [(batch[0], RESTING)]


def test_what_remains_readable_has_counters_and_ids_and_no_word_and_no_name() -> None:
    spoken = msgspec.structs.replace(RESTING, window=[Line("customer", "four canaries", "m-1", at=AT)])
    remains: Checkpoint = decode(kept(spoken).remains.encode(), Checkpoint)
    assert (remains.turns, remains.epoch, remains.last_in_seq) == (3, BUSY.epoch, BUSY.last_in_seq)
    assert (list(remains.recent), remains.window, remains.identity.principal) == (["m-1"], [], "")
    for private in ("canaries", IDENTITY.principal, IDENTITY.customer_id, BUSY.recent["m-1"]):
        assert private not in kept(spoken).remains


def test_the_marker_is_a_purge_for_every_kv_client_and_never_expires() -> None:
    assert marker_of(7) == {
        "KV-Operation": "PURGE",
        "Nats-Rollup": "sub",
        "Nats-TTL": "never",
        "Parley-Retired": "7",
    }
    assert revision_of(head(9, b"", marker_of(7))) == 7 and revision_of(head(9)) == 9


class CountingStore(MemoryStore):
    """Notes how old what is looked for must be."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: asyncio.Queue[int] = asyncio.Queue()

    async def resting(self, after: Place, before: int, limit: int) -> list[Kept]:
        self.looks.put_nowait(before)
        return await super().resting(after, before, limit)


class PaperEnd(LogEnd):
    """A log without conversations; `trimmed` are the sequences up to which work was to be removed."""

    def __init__(self) -> None:
        super().__init__(Client(), "log")
        self.trimmed: asyncio.Queue[int] = asyncio.Queue()

    async def floor(self, durable: str) -> int:
        assert durable == "archiver"
        return 9

    async def trim_work(self, archived: int) -> int:
        self.trimmed.put_nowait(archived)
        raise TransientError("The log does not answer.")


@asynccontextmanager
async def sweeping(store: MemoryStore, after_s: float) -> AsyncIterator[PaperEnd]:
    end = PaperEnd()
    retiring = Retiring(MemoryBus(), end, store, durable="archiver", shards=4, after_s=after_s, every_s=0.001)
    running = asyncio.create_task(retiring.run())
    yield end
    running.cancel()


async def test_a_sweep_looks_only_for_what_has_rested_for_the_whole_time() -> None:
    store = CountingStore()
    async with sweeping(store, 3600):
        now = [await asyncio.wait_for(store.looks.get(), 5) for _ in range(3)]
    assert all(now_ms() - 3_700_000 < before <= now_ms() - 3_600_000 for before in now)


async def test_with_0_no_conversation_is_looked_for_and_work_that_is_archived_goes_all_the_same() -> None:
    store = CountingStore()
    async with sweeping(store, 0) as end:
        assert [await asyncio.wait_for(end.trimmed.get(), 5) for _ in range(3)] == [9, 9, 9]
    assert store.looks.empty()


def test_work_is_taken_by_the_durable_of_its_specialty_track_and_lane() -> None:
    assert worker_of(subjects.turn("billing", "green", "urgent")) == turn_consumer("billing", "green", "urgent")
