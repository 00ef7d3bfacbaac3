"""A message under its customer's key: AES-256-GCM, bound to its columns, with a digest that outlives the key."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley_archiver.domain import Columns, Row, envelope

KEY_BYTES = 32
SALT_BYTES = 16
NONCE_BYTES = 12

Random = Callable[[int], bytes]


class DamagedError(Exception):
    """The row no longer is what was written: its columns, its ciphertext or its digest were changed."""


def seal(columns: Columns, body: bytes, cipher: AESGCM, random: Random = os.urandom) -> Row:
    """Encrypt `body`; the columns are authenticated with it, so that a ciphertext can't move to another row."""
    salt, nonce = random(SALT_BYTES), random(NONCE_BYTES)
    bound = envelope(columns, nonce)
    ciphertext = cipher.encrypt(nonce, body, bound)
    return Row(columns, salt, nonce, ciphertext, row_digest(salt, bound, ciphertext))


def unseal(row: Row, cipher: AESGCM) -> bytes:
    """The body of `row`; DamagedError where digest or cipher say that it was changed."""
    bound = envelope(row.columns, row.nonce)
    if row_digest(row.salt, bound, row.ciphertext) != row.digest:
        raise DamagedError
    try:
        return cipher.decrypt(row.nonce, row.ciphertext, bound)
    except InvalidTag as error:
        raise DamagedError from error


def row_digest(salt: bytes, bound: bytes, ciphertext: bytes) -> bytes:
    """SHA-256(salt || envelope || ciphertext), as reliability.md, 'Audit on PostgreSQL', has it."""
    return hashlib.sha256(salt + bound + ciphertext).digest()
