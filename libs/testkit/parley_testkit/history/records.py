"""The lines of a history: what each side says, one JSON object a line, told apart by `kind`.

A customer's message is named by the client's own id, which is unique in a history. Times are wall-clock milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Told = Literal["", "failed", "refused", "cancelled"]


class _Line(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    kw_only=True,
    tag_field="kind",
    tag=str.lower,
):
    at: Count = 0


class Invoke(_Line, frozen=True, kw_only=True):
    """The customer sends a message; a resend is another `attempt` of the same one."""

    conversation: Name
    message: Name
    attempt: Count = 1


class Ok(_Line, frozen=True, kw_only=True):
    """It was told to be in the log, at sequence `seq`, under the log's own `log_id`."""

    conversation: Name
    message: Name
    seq: Count
    log_id: str = ""
    duplicate: bool = False


class Fail(_Line, frozen=True, kw_only=True):
    """It was refused for good, and no attempt is in doubt: it must not have happened."""

    conversation: Name
    message: Name
    code: str = ""


class Info(_Line, frozen=True, kw_only=True):
    """An attempt is in doubt: it may or may not be in the log."""

    conversation: Name
    message: Name
    reason: str = ""


class Answer(_Line, frozen=True, kw_only=True):
    """The customer was shown `answer` to `messages`, at sequence `seq` of the log (0 where a snapshot hides it).

    `told` is not empty where it is an honest sentence instead: the message failed, was refused or was cancelled.
    """

    conversation: Name
    messages: list[Name]
    answer: Name
    epoch: Count = 0
    seq: Count = 0
    owner: str = ""
    told: Told = ""


class Commit(_Line, frozen=True, kw_only=True):
    """The log's own record: `message` was shown (empty: a change of owner) by `owner` in `epoch`, as `revision`."""

    conversation: Name
    epoch: Count
    owner: str
    revision: Count
    message: str = ""


class Effect(_Line, frozen=True, kw_only=True):
    """The third party has carried something out: `key` is what it did to what, `call` the request that asked for it."""

    key: Name
    call: str = ""


Record = Invoke | Ok | Fail | Info | Answer | Commit | Effect
KINDS = tuple(str(kind.__struct_config__.tag) for kind in get_args(Record))
