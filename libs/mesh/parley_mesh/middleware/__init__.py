"""One policy a file; `compose` puts them around a handler, the first named outermost."""

from __future__ import annotations

from collections.abc import Sequence

from parley_mesh.work import Handler, Middleware


def compose(handler: Handler, middleware: Sequence[Middleware]) -> Handler:
    for wrap in reversed(middleware):
        handler = wrap(handler)
    return handler
