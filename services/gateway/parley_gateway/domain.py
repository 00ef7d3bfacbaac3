"""The rules of the door: what may come in, how often, and whose it is. Pure."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec

from parley_proto.conversation import MAX_TEXT_BYTES, Checkpoint, MessageShown, RunEnded, Shown
from parley_proto.envelope import Identity, digest
from parley_proto.errors import PermanentError

MAX_FRAME = 64 * 1024
MAX_PARTS = 10_000
MAX_BODY = 1024 * 1024
MAX_DEPTH = 16
MAX_ID = 128
MAX_COMMENT = 2000
HEARTBEAT_MS = 15_000
ANONYMOUS = "anonymous"

# The closing quote is optional and the loop possessive: an endless string must not be scanned again and again.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"?|([\[{])|([\]}])', re.DOTALL)
_SPECIALTY = re.compile(r"\A[a-z0-9][a-z0-9-]{0,62}\Z")


class Session(msgspec.Struct, frozen=True):
    """Who is at the other end. `expires_at` is wall-clock milliseconds, 0 for never."""

    tenant: str
    principal: str
    customer_id: str = ""
    name: str = ""
    expires_at: int = 0
    groups: tuple[str, ...] = ()

    def owns(self, identity: Identity) -> bool:
        """Whoever may sign in for several customers has conversations of their own for each."""
        same = (identity.tenant, identity.principal) == (self.tenant, self.principal)
        return same and (not self.customer_id or identity.customer_id == self.customer_id)

    @property
    def speaker(self) -> str:
        """The principal, and the customer where that is another one."""
        return self.principal if self.customer_id in ("", self.principal) else f"{self.principal}/{self.customer_id}"


def identity(session: Session, conversation: str, demo_customers: int) -> Identity:
    """Who speaks in `conversation`; an anonymous visitor is given one of the demo customers, always the same."""
    customer = session.customer_id or demo_customer(conversation, demo_customers)
    return Identity(session.tenant, session.principal, customer, session.name, list(session.groups))


def demo_customer(conversation: str, count: int) -> str:
    return f"cus_{zlib.crc32(conversation.encode()) % count + 1:04d}"


def message_id(tenant: str, conversation: str, client_id: str) -> str:
    """The idempotency key in the log: deduplication there is stream-wide, so the conversation is part of it."""
    return digest(tenant, conversation, client_id)


def body_hash(text: str) -> str:
    return digest(text)


def thread_conversation(tenant: str, principal: str, thread: str) -> str:
    """The conversation behind a thread id that the client made up; it never stands in a subject itself."""
    return "a" + digest(tenant, principal, thread)


def check_content(text: str) -> None:
    """PermanentError `bad_content` unless `text` has 1 to 8,000 bytes, some of them visible, and no NUL."""
    if len(text) > MAX_TEXT_BYTES or len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
        raise PermanentError(f"A message has at most {MAX_TEXT_BYTES} bytes; shorten it.", code="bad_content")
    if "\x00" in text:
        raise PermanentError("The message has a NUL character; remove it.", code="bad_content")
    if not any(_visible(character) for character in text):
        raise PermanentError("The message is empty; write something.", code="bad_content")


def check_client_id(value: str) -> None:
    """PermanentError `bad_id` unless printable and of 1 to 128 characters: an id of the client's own making."""
    if not 1 <= len(value) <= MAX_ID or not value.isprintable() or not value.strip():
        raise PermanentError(f"An id has 1 to {MAX_ID} printable characters.", code="bad_id")


def check_specialty(value: str) -> None:
    if not _SPECIALTY.match(value):
        raise PermanentError("`to` is the name of a specialty: a-z, 0-9 and dashes.", code="bad_target")


def _visible(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")


def parts(text: str) -> int:
    """How many lists and objects `text` has at most: asked before anything goes through them one by one."""
    return text.count("[") + text.count("{")


def too_deep(text: str, limit: int = MAX_DEPTH) -> bool:
    """True when arrays and objects are nested deeper than `limit`: asked before the parser sees it."""
    if parts(text) <= limit:
        return False
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match[1]:
            depth += 1
            if depth > limit:
                return True
        elif match[2]:
            depth -= 1
    return False


def origin_allowed(origin: str | None, host: str, allowed: frozenset[str]) -> bool:
    """True for no origin (not a browser), the page's own host, or one on the list; `null` never is.

    The whole host and port are compared: `http://chat.example.evil.test` is not `chat.example`.
    """
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        return False
    return parts.netloc.lower() == host.lower() or origin.lower().rstrip("/") in allowed


def origins(setting: str) -> frozenset[str]:
    return frozenset(item.strip().lower().rstrip("/") for item in setting.split(",") if item.strip())


def still_waiting(checkpoint: Checkpoint | None, log_seq: int, message: str) -> bool:
    """True while the owner has not answered `message`, which stands at `log_seq` of the log."""
    if checkpoint is None:
        return True
    waiting = [*checkpoint.queue, *(checkpoint.turn.messages if checkpoint.turn else [])]
    if any(line.message_id == message for line in waiting):
        return True
    return message not in checkpoint.recent and checkpoint.last_in_seq < log_seq


def answered_at(shown: Iterable[tuple[int, Shown]], message: str) -> int:
    """The seq of the entry that ended the wait for `message`, 0 when none of `shown` did."""
    for seq, entry in shown:
        if isinstance(entry, MessageShown | RunEnded) and message in entry.answers:
            return seq
    return 0


class Bucket:
    """A token bucket: `per_minute` at most at once, refilled evenly. Times are monotonic seconds."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._rate = per_minute / 60
        self._size = float(per_minute)
        self._tokens = float(per_minute)
        self._at = now

    def take(self, now: float) -> int:
        """0 when there was a token, else the milliseconds until there is one."""
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return max(1, round((1 - self._tokens) / self._rate * 1000))

    def full(self, now: float) -> bool:
        """No different from a new one."""
        return self._tokens + (now - self._at) * self._rate >= self._size


class Buckets:
    """One bucket a key. Those that are full again go, and the least recently used when there are more than `limit`."""

    def __init__(self, per_minute: int, limit: int = 10_000) -> None:
        self._per_minute = per_minute
        self._limit = limit
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, key: str, now: float) -> int:
        bucket = self._buckets.pop(key, None) or Bucket(self._per_minute, now)
        self._buckets[key] = bucket
        wait_ms = bucket.take(now)
        while len(self._buckets) > self._limit or self._oldest().full(now):
            self._buckets.popitem(last=False)
        return wait_ms

    def _oldest(self) -> Bucket:
        return next(iter(self._buckets.values()))

    def __len__(self) -> int:
        return len(self._buckets)


class Seats:
    """How many may be connected, in all and for one principal; anonymous visitors only count in all."""

    def __init__(self, total: int, each: int) -> None:
        self._total = total
        self._each = each
        self._taken = 0
        self._by: dict[str, int] = {}

    @property
    def taken(self) -> int:
        return self._taken

    def enter(self) -> bool:
        if self._taken >= self._total:
            return False
        self._taken += 1
        return True

    def leave(self) -> None:
        self._taken -= 1

    def claim(self, session: Session) -> bool:
        """A place among those of this principal; give it back with `release`."""
        key = digest(session.tenant, session.principal)
        if session.principal != ANONYMOUS and self._by.get(key, 0) >= self._each:
            return False
        self._by[key] = self._by.get(key, 0) + 1
        return True

    def release(self, session: Session) -> None:
        key = digest(session.tenant, session.principal)
        self._by[key] = self._by.get(key, 0) - 1
        if self._by[key] <= 0:
            self._by.pop(key)
