"""A text on its way to a vector."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec

Key = bytes


class Text(msgspec.Struct, eq=False):
    """`callers` wait for `vector`; `kept` says that it goes to disk, `lost` how many workers ended over it."""

    key: Key
    text: str
    vector: asyncio.Future[bytes]
    callers: int = 0
    kept: bool = False
    lost: int = 0

    def settle(self, outcome: bytes | Exception) -> None:
        """Tell those who wait, if anybody still does."""
        if self.vector.done() or not self.callers:
            self.vector.cancel()
        elif isinstance(outcome, bytes):
            self.vector.set_result(outcome)
        else:
            self.vector.set_exception(outcome)


def key_of(text: str) -> Key:
    """BLAKE2b-128 (RFC 7693): the caches hold nobody's words, only their hash."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
