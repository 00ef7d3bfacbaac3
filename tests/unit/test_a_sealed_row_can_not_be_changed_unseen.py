from __future__ import annotations

import hashlib

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from parley_archiver.domain import Columns, Row, envelope
from parley_archiver.sealing import DamagedError, seal, unseal

KEY = bytes(range(32))
CIPHER = AESGCM(KEY)
COLUMNS = Columns(
    tenant="default",
    stream="KV_conversations",
    seq=7,
    at=1_780_000_000_000,
    conversation="conversation-000001",
    subject="conv.1.conversation-000001",
    type="CustomerMessage",
    role="customer",
    turn_id="",
    trace="",
    key_id="0" * 32,
)


def counted(size: int) -> bytes:
    return bytes(range(size))


@given(st.binary(max_size=2000))
def test_what_was_sealed_is_opened(body: bytes) -> None:
    row = seal(COLUMNS, body, CIPHER)
    assert unseal(row, CIPHER) == body
    assert len(row.ciphertext) == len(body) + 16


def test_the_digest_is_what_the_record_says_it_is() -> None:
    row = seal(COLUMNS, b"hello", CIPHER, random=counted)
    bound = (
        b'[["default","KV_conversations",7,1780000000000,"conversation-000001","conv.1.conversation-000001",'
        b'"CustomerMessage","customer","","","00000000000000000000000000000000"],"000102030405060708090a0b"]'
    )
    assert envelope(COLUMNS, row.nonce) == bound
    assert row.digest == hashlib.sha256(row.salt + bound + row.ciphertext).digest()
    assert CIPHER.decrypt(row.nonce, row.ciphertext, bound) == b"hello"


def test_no_two_rows_share_salt_nonce_or_ciphertext() -> None:
    rows = [seal(COLUMNS, b"the same words", CIPHER) for _ in range(50)]
    assert len({row.salt for row in rows}) == len({row.nonce for row in rows}) == 50
    assert len({row.ciphertext for row in rows}) == 50


@pytest.mark.parametrize("name", Columns.__struct_fields__)
def test_every_column_is_bound(name: str) -> None:
    row = seal(COLUMNS, b"hello", CIPHER)
    value = getattr(COLUMNS, name)
    other = value + 1 if isinstance(value, int) else value + "x"
    changed = msgspec.structs.replace(row, columns=msgspec.structs.replace(COLUMNS, **{name: other}))
    refused(changed)
    # Whoever also recomputes the digest still lacks the key that the cipher needs.
    redone = hashlib.sha256(changed.salt + envelope(changed.columns, changed.nonce) + changed.ciphertext).digest()
    refused(msgspec.structs.replace(changed, digest=redone))


@pytest.mark.parametrize("name", ["salt", "nonce", "ciphertext", "digest"])
def test_every_byte_is_bound(name: str) -> None:
    row = seal(COLUMNS, b"hello", CIPHER)
    value = getattr(row, name)
    for place in range(len(value)):
        flipped = value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
        refused(msgspec.structs.replace(row, **{name: flipped}))


def test_a_ciphertext_does_not_move_to_another_row() -> None:
    first = seal(COLUMNS, b"yes, refund it", CIPHER)
    second = seal(msgspec.structs.replace(COLUMNS, seq=8), b"no", CIPHER)
    refused(msgspec.structs.replace(second, ciphertext=first.ciphertext, nonce=first.nonce, salt=first.salt))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(DamagedError):
        unseal(seal(COLUMNS, b"hello", CIPHER), AESGCM(bytes(32)))


def refused(row: Row) -> None:
    with pytest.raises(DamagedError):
        unseal(row, CIPHER)
