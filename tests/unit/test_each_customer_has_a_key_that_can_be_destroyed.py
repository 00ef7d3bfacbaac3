from __future__ import annotations

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley_archiver.domain import successor
from parley_archiver.keyring import Key, Keyring, WrappedKey, key_subject
from parley_mesh.bus import Appended, Headers, Stored
from parley_mesh.memory import MemoryBus
from parley_proto.errors import AmbiguousCommitError, PermanentError, TransientError

MASTER, OTHER = b"m" * 32, b"o" * 32
ADA, BOB = "a" * 32, "b" * 32
NONCE = bytes(12)


class CountingBus(MemoryBus):
    """Counts the reads of single keys."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def last(self, subject: str) -> Stored | None:
        self.reads += ">" not in subject
        return await super().last(subject)


class LateBus(MemoryBus):
    """Another archiver makes the key between our look and our write."""

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        await Keyring(_Plain(self), MASTER, cached=10).for_writing([subject.rpartition(".")[2]])
        return await super().append(subject, data, msg_id=msg_id, expect=expect, headers=headers)


class _Plain(MemoryBus):
    def __init__(self, other: MemoryBus) -> None:
        self.__dict__ = other.__dict__


class SilentBus(MemoryBus):
    """Stores what it is given, but its first answer gets lost."""

    silent = True

    async def append(
        self, subject: str, data: bytes, *, msg_id: str = "", expect: int | None = None, headers: Headers | None = None
    ) -> Appended:
        done = await super().append(subject, data, msg_id=msg_id, expect=expect, headers=headers)
        if self.silent:
            self.silent = False
            raise AmbiguousCommitError("No answer in time.", code="timeout")
        return done


def keyring(bus: MemoryBus, master: bytes = MASTER, cached: int = 100) -> Keyring:
    return Keyring(bus, master, cached=cached)


async def live(ring: Keyring, root: str) -> Key:
    return (await ring.for_writing([root]))[root].live


async def erase(bus: MemoryBus, key_id: str) -> None:
    await bus.append(key_subject(key_id), b"", headers={"KV-Operation": "PURGE"})


def same(one: AESGCM, other: AESGCM) -> bool:
    try:
        return other.decrypt(NONCE, one.encrypt(NONCE, b"x", None), None) == b"x"
    except InvalidTag:
        return False


async def test_a_key_is_made_once_and_found_by_every_instance() -> None:
    bus = MemoryBus()
    first, again, elsewhere = keyring(bus), keyring(bus), keyring(bus)
    keys = [await live(ring, ADA) for ring in (first, again, elsewhere, first)]
    assert len(bus.everything()) == 1
    assert all(same(keys[0].cipher, key.cipher) for key in keys)
    assert not same(keys[0].cipher, (await live(first, BOB)).cipher)


async def test_two_who_make_a_key_at_once_end_with_the_same() -> None:
    bus = LateBus()
    ours = await live(keyring(bus), ADA)
    assert len(bus.everything()) == 1
    assert same(ours.cipher, (await live(keyring(bus), ADA)).cipher)


async def test_a_lost_answer_does_not_make_a_second_key() -> None:
    bus = SilentBus()
    ring = keyring(bus)
    with pytest.raises(TransientError):
        await live(ring, ADA)
    await live(ring, ADA)
    assert len(bus.everything()) == 1


async def test_a_key_lies_in_the_bucket_only_wrapped() -> None:
    bus = MemoryBus()
    key = await live(keyring(bus), ADA)
    [stored] = bus.everything()
    record = msgspec.json.decode(stored.data, type=WrappedKey)
    secret = AESGCM(MASTER).decrypt(record.nonce, record.wrapped, ADA.encode())
    assert same(key.cipher, AESGCM(secret)) and len(secret) == 32
    assert secret not in record.wrapped and MASTER not in stored.data
    with pytest.raises(InvalidTag):
        AESGCM(MASTER).decrypt(record.nonce, record.wrapped, BOB.encode())


async def test_another_master_key_is_named_and_makes_nothing_new() -> None:
    bus = MemoryBus()
    await live(keyring(bus), ADA)
    with pytest.raises(PermanentError, match="another master key") as refused:
        await live(keyring(bus, OTHER), ADA)
    assert refused.value.code == "wrong_master_key"
    with pytest.raises(PermanentError, match="another master key"):
        await keyring(bus, OTHER).for_reading([ADA])
    assert len(bus.everything()) == 1


async def test_a_key_in_use_is_not_read_again_until_the_bucket_changes() -> None:
    bus = CountingBus()
    ring = keyring(bus)
    await ring.for_writing([ADA, BOB])
    reads = bus.reads
    for _ in range(5):
        await ring.for_writing([ADA, BOB])
    assert bus.reads == reads
    await erase(bus, BOB)
    await ring.for_writing([ADA])
    assert bus.reads > reads


async def test_the_cache_is_bounded_and_a_batch_larger_than_it_still_works() -> None:
    bus = CountingBus()
    ring = keyring(bus, cached=2)
    roots = [f"{number:032x}" for number in range(5)]
    found = await ring.for_writing(roots)
    assert set(found) == set(roots) and len(bus.everything()) == 5
    reads = bus.reads
    await ring.for_writing(roots)
    assert 3 <= bus.reads - reads <= 5


async def test_an_erased_key_is_gone_for_readers_at_once() -> None:
    bus = MemoryBus()
    ring = keyring(bus)
    await ring.for_writing([ADA, BOB])
    await erase(bus, ADA)
    assert set(await ring.for_reading([ADA, BOB, "c" * 32])) == {BOB}


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"", {"KV-Operation": "PURGE"}), (b"", {"KV-Operation": "DEL"}), (b"", {}), (b"{}", {"KV-Operation": "PURGE"})],
)
async def test_every_kind_of_marker_erases(body: bytes, headers: dict[str, str]) -> None:
    bus = MemoryBus()
    ring = keyring(bus)
    await ring.for_writing([ADA])
    await bus.append(key_subject(ADA), body, headers=headers)
    assert await ring.for_reading([ADA]) == {}
    assert (await live(ring, ADA)).key_id == successor(ADA)


async def test_what_was_said_before_an_erasure_gets_a_key_that_nobody_keeps() -> None:
    bus = MemoryBus()
    ring = keyring(bus)
    old = await live(ring, ADA)
    await erase(bus, ADA)
    erased_at = bus.everything()[-1].at
    chain = (await ring.for_writing([ADA]))[ADA]
    before, after = chain.key_at(erased_at), chain.key_at(erased_at + 1)
    assert before.key_id == ADA and after.key_id == successor(ADA)
    assert not same(before.cipher, chain.key_at(erased_at).cipher)
    assert not any(same(old.cipher, key.cipher) for key in (before, after))
    assert set(await ring.for_reading([ADA, successor(ADA)])) == {successor(ADA)}


async def test_a_customer_can_be_erased_more_than_once() -> None:
    bus = MemoryBus()
    ring = keyring(bus)
    ids = []
    for _ in range(3):
        key = await live(ring, ADA)
        ids.append(key.key_id)
        await erase(bus, key.key_id)
    assert len(set(ids)) == 3
    assert await ring.for_reading(ids) == {}
