"""An error that nobody foresaw, told without its text: that may hold what a customer wrote."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from parley_proto.errors import ParleyError, TransientError

_FRAMES = 4


@contextmanager
def without_its_text() -> Iterator[None]:
    """TransientError `internal` with the type and the place of any error but our own and timeouts."""
    try:
        yield
    except (ParleyError, TimeoutError):
        raise
    except Exception as error:
        message = f"Something unforeseen happened: {type(error).__name__} at {_place(error)}; see that line."
        # The chain would carry the text along into whatever prints it.
        raise TransientError(message, code="internal") from None


def _place(error: BaseException) -> str:
    """The innermost frames, as file:line."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
