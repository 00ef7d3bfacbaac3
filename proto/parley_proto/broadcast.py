"""Notices: what everyone running should know, for as long as it is in force."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from parley_proto.envelope import decode
from parley_proto.errors import PermanentError

Severity = Literal["info", "warning", "critical"]
DEFAULT_TTL_S = 3600
MAX_TTL_S = 31_536_000
MAX_TEXT = 2000


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A broadcast in force. `scope` is `all`, a specialty or a region; `expires_at` is in milliseconds."""

    notice_id: str
    topic: str
    text: str
    expires_at: int
    severity: Severity = "warning"
    scope: str = "all"

    def in_force(self, now: int, specialty: str) -> bool:
        return now < self.expires_at and self.scope in ("all", specialty)


class NoticeBody(msgspec.Struct, frozen=True):
    """What an operator publishes as JSON; plain text works as well."""

    text: str
    severity: Severity = "warning"
    scope: str = "all"
    ttl_s: Annotated[int, msgspec.Meta(gt=0, le=MAX_TTL_S)] = DEFAULT_TTL_S


def read_notice(subject: str, data: bytes, seq: int, published_at: int) -> Notice:
    """The notice in a message of `broadcast.<topic>`: JSON with `text`, or plain UTF-8 text.

    PermanentError says why a publish is not a notice.
    """
    body = _body(data)
    if not body.text.strip() or len(body.text) > MAX_TEXT:
        raise PermanentError(f"A notice needs 1 to {MAX_TEXT} characters of text; {subject} has {len(body.text)}.")
    topic = subject.removeprefix("broadcast.")
    expires = published_at + body.ttl_s * 1000
    return Notice(f"notice-{seq}", topic, body.text.strip(), expires, body.severity, body.scope)


def _body(data: bytes) -> NoticeBody:
    if data.lstrip().startswith(b"{"):
        body: NoticeBody = decode(data, NoticeBody)
        return body
    try:
        return NoticeBody(data.decode())
    except UnicodeDecodeError as error:
        raise PermanentError(f"The notice is not UTF-8 text: {error.reason}.") from error
