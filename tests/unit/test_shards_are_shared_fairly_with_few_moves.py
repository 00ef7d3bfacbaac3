"""The rule by which instances share the shards."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from parley_mesh.shards import share

NAMES = st.lists(st.text("abcdef0123456789-", min_size=1, max_size=12), min_size=1, max_size=9, unique=True)


@given(NAMES, st.integers(1, 128))
def test_every_shard_has_one_owner_and_nobody_more_than_a_fair_share(names: list[str], shards: int) -> None:
    owners = share(names, shards)
    assert set(owners) == set(range(shards))
    assert max(Counter(owners.values()).values()) <= -(-shards // len(names))


@given(NAMES, st.randoms())
def test_the_order_in_which_peers_are_heard_does_not_matter(names: list[str], random: object) -> None:
    assert share(names, 64) == share(list(reversed(names)), 64)


def test_nobody_owns_nothing() -> None:
    assert share([], 64) == {}


def test_a_third_instance_moves_only_about_its_share() -> None:
    before, after = share(["a-1", "a-2"], 64), share(["a-1", "a-2", "a-3"], 64)
    moved = sum(before[shard] != after[shard] for shard in before)
    assert 21 <= moved <= 32
    assert set(Counter(after.values()).values()) <= {20, 21, 22}
