"""A file as documents, whatever kind it is. Pure: it gets bytes, and never raises for what is in them."""

from __future__ import annotations

from parley_proto.rag import Skipped
from parley_rag.reading.fields import LONGEST_ID
from parley_rag.reading.kinds import Kind, kind_of
from parley_rag.reading.markdown import read_markdown
from parley_rag.reading.outcome import Defaults, Reading, Unreadable
from parley_rag.reading.rows import read_rows
from parley_rag.reading.text import one_line

LARGEST = 64 << 20
TOO_MUCH_MEMORY = "reading it takes more memory than it may have"


def read(name: str, content: bytes, defaults: Defaults | None = None) -> Reading:
    """The documents of the file `name` ('billing/refunds.md'), and what was skipped with its reason.

    A hostile file can take any time and memory here: `Reader` reads it in a process of its own.
    """
    shown = shown_name(name)
    try:
        check_size(len(content))
        return _read(kind_of(shown, content), shown, content, defaults or Defaults())
    except Unreadable as error:
        reason = error.message
    except MemoryError:
        reason = TOO_MUCH_MEMORY
    except RecursionError:
        reason = "it is nested too deeply"
    except Exception as error:  # the parsers' own failures: what is in a file is never an error of this service
        reason = f"it is damaged: {type(error).__name__} while it was read"
    return refused(shown, reason)


def check_size(size: int) -> None:
    """Unreadable for a file of more than 64 MB."""
    if size > LARGEST:
        raise Unreadable(f"it is too large: it has {-(-size >> 20)} MB, the limit is {LARGEST >> 20} MB")


def shown_name(name: str) -> str:
    """A file's name as it is stored and shown: without control characters, and no longer than an id may be."""
    return one_line(name)[:LONGEST_ID]


def refused(name: str, reason: str) -> Reading:
    return Reading([], [Skipped(name, reason)])


def _read(kind: Kind, name: str, content: bytes, defaults: Defaults) -> Reading:
    # The libraries for HTML and PDF are large: only where such a file comes.
    if kind == "html":
        from parley_rag.reading.html import read_html

        return read_html(name, content, defaults)
    if kind == "pdf":
        from parley_rag.reading.pdf import read_pdf

        return read_pdf(name, content, defaults)
    return (read_rows if kind == "rows" else read_markdown)(name, content, defaults)
