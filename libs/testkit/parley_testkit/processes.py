"""The processes that a test's own code has started."""

from __future__ import annotations

import contextlib

import psutil


def children(running: str) -> list[psutil.Process]:
    """This process's living children with `running` in an argument, oldest first.

    One that ends while it is looked at is left out: a killed child is a zombie until its parent has reaped it.
    """
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if running in " ".join(child.cmdline()):
                found.append(child)
    return sorted(found, key=lambda child: child.create_time())
