"""The owner's memory: what is put in comes out, the least recently used goes first, and a forgotten shard stays so."""

from __future__ import annotations

import msgspec

from parley_conversation.adapters import Hot
from parley_conversation.memory import OVERHEAD, Memory
from parley_proto.conversation import Checkpoint, Line
from parley_proto.envelope import Identity, encode
from parley_proto.subjects import shard_of

SHARDS = 4
STATE = Checkpoint("c" * 33, Identity("t", "p", "c-1"), 1, window=[Line("customer", "words " * 50, "m1", at=1)])


def hot(number: int) -> Hot:
    return Hot(msgspec.structs.replace(STATE, turns=number), number + 10, number + 5)


def size(number: int) -> int:
    return len(encode(hot(number).state)) + OVERHEAD


def test_what_was_remembered_is_what_it_was() -> None:
    memory = Memory(1 << 20, SHARDS)
    memory.put("a", hot(1), 0)
    memory.put("nothing yet", Hot(None, 0, 7), 0)
    assert memory.get("a") == hot(1)
    assert memory.get("nothing yet") == Hot(None, 0, 7)
    assert memory.get("b") is None


def test_whoever_rested_longest_goes_first() -> None:
    memory = Memory(3 * size(1), SHARDS)
    for name in "abc":
        memory.put(name, hot(1), 0)
    assert memory.get("a") == hot(1)
    memory.put("d", hot(1), 0)
    assert [name for name in "abcd" if memory.get(name)] == ["a", "c", "d"]


def test_the_one_in_hand_stays_however_large() -> None:
    memory = Memory(1, SHARDS)
    memory.put("a", hot(1), 0)
    memory.put("b", hot(1), 0)
    assert len(memory) == 1
    assert memory.get("b") == hot(1)


def test_what_is_dropped_makes_room() -> None:
    memory = Memory(2 * size(1), SHARDS)
    for _ in range(5):
        memory.put("a", hot(1), 0)
        memory.drop("a")
    memory.put("a", hot(1), 0)
    memory.put("b", hot(1), 0)
    assert len(memory) == 2


def test_nothing_of_a_forgotten_shard_comes_back() -> None:
    memory = Memory(1 << 20, SHARDS)
    before = memory.generation("a")
    memory.put("a", hot(1), before)
    memory.drop_shard(shard_of("a", SHARDS))
    assert memory.get("a") is None
    memory.put("a", hot(1), before)
    assert memory.get("a") is None
    memory.put("a", hot(2), memory.generation("a"))
    assert memory.get("a") == hot(2)


def test_who_says_nothing_for_long_leaves_when_others_speak() -> None:
    now = 0.0
    memory = Memory(1 << 20, SHARDS, idle_s=60, clock=lambda: now)
    for name, at in (("a", 0.0), ("b", 50.0), ("c", 61.0)):
        now = at
        memory.put(name, hot(1), 0)
    assert [name for name in "abc" if memory.get(name)] == ["b", "c"]
    now = 1_000.0
    memory.put("d", hot(1), 0)
    assert len(memory) == 1
