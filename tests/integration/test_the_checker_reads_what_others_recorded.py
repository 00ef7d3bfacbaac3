"""The mesh's record from a real log, the third party's from a real database, both into one history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from parley_backoffice import schema
from parley_backoffice.adapters import pool_of
from parley_backoffice.settings import Settings
from parley_cli.supervise.postgres import DATABASE, connect
from parley_mesh import topology
from parley_mesh.jetstream import NatsBus
from parley_proto import subjects
from parley_proto.conversation import MessageShown, OwnerChanged, Shown
from parley_proto.envelope import encode
from parley_testkit.history.reading import read
from parley_testkit.history.recorder import Recorder
from parley_testkit.history.records import Commit, Effect
from parley_testkit.history.server import record_commits
from parley_testkit.history.third import record_effects
from parley_testkit.history.verdict import judge
from parley_testkit.nats_server import SPECIALTIES, NatsServer
from parley_testkit.postgres import Postgres

OURS, OTHERS = "c" + "A" * 22, "c" + "B" * 22
_CALL = "INSERT INTO backoffice.calls VALUES ($1, $2, $3, $4, '{}', $5)"


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(tmp_path / "history.jsonl") as opened:
        yield opened


def answer(name: str, epoch: int, owner: str) -> MessageShown:
    return MessageShown(name * 32, "assistant", "Yes.", 1, specialty=owner, kind="grounded", epoch=epoch)


async def test_the_commits_of_the_conversations_asked_for_are_read_in_their_order(
    nats_server: NatsServer, recorder: Recorder
) -> None:
    client = await nats_server.connect()
    await topology.apply(client, SPECIALTIES)
    bus = NatsBus(client)

    async def show(conversation: str, entry: Shown) -> int:
        return (await bus.append(subjects.out(conversation), encode(entry))).seq

    await show(OURS, MessageShown("m" * 32, "customer", "Hello", 1, client_id="m"))
    first = await show(OURS, OwnerChanged("billing", "", 1, "routed", 1))
    await show(OTHERS, answer("b", 1, "returns"))
    second = await show(OURS, answer("a", 1, "billing"))
    assert await record_commits(nats_server.settings(), [OURS], recorder, 20) == 2
    told = [record for _, record in read(recorder.path) if isinstance(record, Commit)]
    assert [(one.revision, one.message, one.owner) for one in told] == [
        (first, "", "billing"),
        (second, "a" * 32, "billing"),
    ]
    assert judge(read(recorder.path)).clean


async def test_a_zombies_write_in_the_log_is_found(nats_server: NatsServer, recorder: Recorder) -> None:
    client = await nats_server.connect()
    await topology.apply(client, SPECIALTIES)
    bus = NatsBus(client)
    for entry in (
        OwnerChanged("billing", "", 1, "routed", 1),
        OwnerChanged("returns", "billing", 2, "handoff", 1),
        answer("a", 1, "billing"),
    ):
        await bus.append(subjects.out(OURS), encode(entry))
    await record_commits(nats_server.settings(), [OURS], recorder, 20)
    assert [(one.kind, one.message) for one in judge(read(recorder.path)).violations] == [("owner", "a" * 32)]


async def test_only_what_was_carried_out_is_an_effect_and_twice_is_found_under_any_keys(
    postgres: Postgres, recorder: Recorder
) -> None:
    now = datetime.now(UTC)
    async with pool_of(Settings(database_url=postgres.url(), token="t" * 16)) as pool, pool.acquire() as prepared:
        await schema.apply(prepared, now)
    connection = await connect(postgres.cluster, DATABASE)
    for key, fingerprint, status in (("k1", "f1", 201), ("k2", "f2", 409), ("k3", "f3", 200), ("k4", "f1", 201)):
        await connection.execute(_CALL, key, fingerprint, "refund_payment", status, now)
    await connection.close()
    assert await record_effects(postgres.cluster, recorder) == 3
    told = [record for _, record in read(recorder.path) if isinstance(record, Effect)]
    assert [(one.key, one.call) for one in told] == [
        ("refund_payment f1", "k1"),
        ("refund_payment f3", "k3"),
        ("refund_payment f1", "k4"),
    ]
    (found,) = judge(read(recorder.path)).violations
    assert (found.kind, found.message, found.lines) == ("effects", "refund_payment f1", [1, 3])
