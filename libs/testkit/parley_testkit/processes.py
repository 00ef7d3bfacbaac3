"""Processes that a test has started: found, and ended."""

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


def kill_family(process: psutil.Process) -> None:
    """End it and all that it has started at once, as a crash of the machine would.

    Some end by themselves as soon as the first is gone.
    """
    family = [process, *process.children(recursive=True)]
    for one in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(family, timeout=30)
