"""The back office as records: what it says is data, and may be of a form that nobody expected."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from parley_proto.errors import PermanentError
from parley_specialist.tools import UNREADABLE, ToolContext, ToolRefusedError

T = TypeVar("T")


class _Page(msgspec.Struct, frozen=True):
    """A list of the back office, the newest first."""

    items: list[Any]


def now() -> datetime:
    """The time of day, in UTC; what a customer reads of it is British time (see `wording`)."""
    return datetime.now(UTC)


async def read(context: ToolContext, path: str, kind: type[T]) -> T:
    """What the back office has at `path`; ToolRefusedError where it has nothing or can't be understood."""
    return _understood(await context.backoffice.get(path), kind)


async def read_list(context: ToolContext, path: str, kind: type[T]) -> list[T]:
    """The list that the back office has at `path`, newest first; ToolRefusedError as with `read`."""
    page = await read(context, path, _Page)
    return [_understood(item, kind) for item in page.items]


async def send(context: ToolContext, method: str, path: str, body: dict[str, Any], kind: type[T]) -> T:
    """Change something. PermanentError where the answer can't be understood: the change may have happened."""
    answer = await context.backoffice.send(method, path, body)
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        message = f"The back office answers {method} {path} in an unknown form; a person has to check the outcome."
        raise PermanentError(message, code="unreadable_answer") from error


def _understood(answer: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        message = "I can't read your records right now; please try again a little later."
        raise ToolRefusedError(message, code=UNREADABLE) from error
