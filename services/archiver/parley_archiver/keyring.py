"""One data key per customer, wrapped by the master key, in a NATS bucket: outside PostgreSQL and its backups."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley_archiver.domain import successor
from parley_archiver.sealing import KEY_BYTES, NONCE_BYTES
from parley_mesh.bus import Bus, Stored
from parley_mesh.topology import KEYS_BUCKET
from parley_proto.envelope import decode, encode, now_ms
from parley_proto.errors import ConflictError, PermanentError

KEYS_STREAM = f"KV_{KEYS_BUCKET}"
ALL_KEYS = f"$KV.{KEYS_BUCKET}.>"
MAX_ERASURES = 1000
_OPERATION = "KV-Operation"


def key_subject(key_id: str) -> str:
    return f"$KV.{KEYS_BUCKET}.{key_id}"


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key in the bucket: AES-256-GCM under the master key, bound to its id. `master` tells which one."""

    master: str
    nonce: bytes
    wrapped: bytes
    created_at: int
    v: int = 1


class Key(msgspec.Struct, frozen=True):
    """A data key that can be used."""

    key_id: str
    cipher: AESGCM


class Chain(msgspec.Struct, frozen=True):
    """A customer's keys: those erased, each with the time of its erasure (log's clock, ms), and the one in use."""

    erased: list[tuple[str, int]]
    live: Key

    def key_at(self, at: int) -> Key:
        """The key for a message of time `at`.

        What was said before an erasure, or in its very millisecond, is sealed so that nobody can open it.
        """
        for key_id, erased_at in self.erased:
            if at <= erased_at:
                return Key(key_id, AESGCM(os.urandom(KEY_BYTES)))
        return self.live


class Keyring:
    """Makes, finds and caches keys; `bus` must speak for the stream of the bucket.

    A key is erased by a KV delete or purge marker on its subject: the marker's time says what it covers.
    Raises TransientError without NATS, PermanentError `wrong_master_key` where a key does not unwrap.
    """

    def __init__(self, bus: Bus, master: bytes, *, cached: int) -> None:
        self._bus = bus
        self._master = AESGCM(master)
        self._mark = hashlib.sha256(b"parley master key" + master).hexdigest()[:16]
        self._cached = cached
        self._chains: OrderedDict[str, Chain] = OrderedDict()
        self._seen = 0

    async def for_writing(self, roots: Iterable[str]) -> dict[str, Chain]:
        """The keys of each of `roots`, made where there are none. An erasure before this call is respected."""
        await self._renew()
        wanted = set(roots)
        missing = [root for root in wanted if root not in self._chains]
        loaded = await asyncio.gather(*(self._load(root) for root in missing))
        self._note([seq for _, made in loaded for seq in made])
        found = {root: chain for root, (chain, _) in zip(missing, loaded, strict=True)}
        found |= {root: self._chains[root] for root in wanted if root in self._chains}
        self._remember(found)
        return found

    async def for_reading(self, key_ids: Iterable[str]) -> dict[str, AESGCM]:
        """Those of `key_ids` that are not erased. Always from the bucket: an erased key must not live on in a cache."""
        wanted = sorted(set(key_ids))
        stored = await asyncio.gather(*(self._bus.last(key_subject(key_id)) for key_id in wanted))
        pairs = zip(wanted, stored, strict=True)
        return {key_id: self._unwrap(key_id, found) for key_id, found in pairs if found and not _is_erased(found)}

    async def _renew(self) -> None:
        """Forget everything cached when somebody else has written a key: it may have been an erasure."""
        newest = await self._bus.last(ALL_KEYS)
        seq = newest.seq if newest else 0
        if seq != self._seen:
            self._chains.clear()
        self._seen = seq

    def _note(self, made: list[int]) -> None:
        """Keys that we made ourselves are no reason to forget, as long as nothing came in between."""
        for seq in sorted(made):
            if seq == self._seen + 1:
                self._seen = seq

    def _remember(self, found: dict[str, Chain]) -> None:
        for root, chain in found.items():
            self._chains[root] = chain
            self._chains.move_to_end(root)
        while len(self._chains) > self._cached:
            self._chains.popitem(last=False)

    async def _load(self, root: str) -> tuple[Chain, list[int]]:
        """The chain of `root`, and the sequences of keys that had to be made for it (one at most)."""
        erased: list[tuple[str, int]] = []
        key_id = root
        for _ in range(MAX_ERASURES):
            stored, made = await self._find_or_make(key_id)
            if not _is_erased(stored):
                return Chain(erased, Key(key_id, self._unwrap(key_id, stored))), made
            erased.append((key_id, stored.at))
            key_id = successor(key_id)
        raise PermanentError(f"Key {root} has been erased {MAX_ERASURES} times: bucket {KEYS_BUCKET} is not sound.")

    async def _find_or_make(self, key_id: str) -> tuple[Stored, list[int]]:
        subject = key_subject(key_id)
        stored = await self._bus.last(subject)
        if stored:
            return stored, []
        body = self._wrap(key_id)
        try:
            appended = await self._bus.append(subject, body, expect=0)
        except ConflictError:
            # Another instance, or our own try whose answer was lost, came first: that key counts.
            return await self._made_by_another(key_id), []
        return Stored(subject, appended.seq, body, {}, now_ms()), [appended.seq]

    async def _made_by_another(self, key_id: str) -> Stored:
        stored = await self._bus.last(key_subject(key_id))
        if stored is None:
            raise ConflictError(
                f"Key {key_id} of bucket {KEYS_BUCKET} came and went at once; it will be looked up again."
            )
        return stored

    def _wrap(self, key_id: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        wrapped = self._master.encrypt(nonce, os.urandom(KEY_BYTES), key_id.encode())
        return encode(WrappedKey(self._mark, nonce, wrapped, now_ms()))

    def _unwrap(self, key_id: str, stored: Stored) -> AESGCM:
        record: WrappedKey = decode(stored.data, WrappedKey)
        try:
            return AESGCM(self._master.decrypt(record.nonce, record.wrapped, key_id.encode()))
        except InvalidTag as error:
            raise PermanentError(self._refused(key_id, record), code="wrong_master_key") from error

    def _refused(self, key_id: str, record: WrappedKey) -> str:
        if record.master == self._mark:
            return f"Key {key_id} in bucket {KEYS_BUCKET} is damaged: restore the bucket from its backup."
        return (
            f"Key {key_id} in bucket {KEYS_BUCKET} was wrapped by another master key ({record.master}, this is "
            f"{self._mark}): set PARLEY_ARCHIVER_MASTER_KEY or PARLEY_ARCHIVER_MASTER_KEY_FILE to that one."
        )


def _is_erased(stored: Stored) -> bool:
    return stored.headers.get(_OPERATION) in ("DEL", "PURGE") or not stored.data
