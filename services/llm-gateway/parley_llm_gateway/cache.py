"""Answers that may be given again: only for exactly the same request, of the same tenant, that asked for it."""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from parley_proto.llm import CompletionEvent, CompletionRequest, TextDelta

Answer = tuple[CompletionEvent, ...]
# What looks like it names a person: e-mail, order and account numbers, phones, cards, IBANs. Linear whatever the text:
# between an @ and its dot stands no other @, and a host has at most 253 characters.
_PERSONAL = re.compile(r"[^\s@]@[^\s@]{1,253}\.\w|\b[A-Z]{2,5}-?\d{2,}|(?:\d[ -]?){7,}")
_KEPT = msgspec.json.Encoder(order="deterministic")


def key_of(request: CompletionRequest, model: str) -> str | None:
    """The cache's key; None for a request that is not eligible: tools, pictures, personal data, or nobody asked."""
    if not request.cacheable or request.tools:
        return None
    for message in request.messages:
        if message.role == "tool" or message.tool_calls or message.images or _PERSONAL.search(message.content):
            return None
    same = (
        request.tenant,
        model,
        request.prompt_version,
        request.messages,
        request.temperature,
        request.max_tokens,
        request.top_p,
        request.seed,
        request.stop,
        request.response_format,
        request.residency,
    )
    return hashlib.sha256(_KEPT.encode(same)).hexdigest()


class Cache:
    """The newest `entries` answers, of at most `size` characters together, for `ttl_s` seconds."""

    def __init__(self, entries: int, size: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries = entries
        self._limit = size
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, int, Answer]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Answer | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found[2]

    def put(self, key: str, events: Sequence[CompletionEvent]) -> None:
        size = sum(len(event.text) for event in events if isinstance(event, TextDelta))
        if key in self._kept:
            self._drop(key)
        if size > self._limit or not self._entries:
            return
        self._kept[key] = (self._clock() + self._ttl_s, size, tuple(events))
        self._size += size
        while len(self._kept) > self._entries or self._size > self._limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        self._size -= self._kept.pop(key)[1]
