"""A process that stops itself (SIGSTOP) at one exact place, once, when a file says so: what a debugger or a hypervisor
would do at the worst moment. Python runs `sitecustomize` before anything else, so the service itself stays as it is.
"""

from __future__ import annotations

import time
from pathlib import Path

import psutil

_SITE = """
import os, signal, sys

if {module!r} in sys.orig_argv:
    import {where} as module

    original = module.{name}

    async def stopping(*arguments, **named):
        try:
            os.remove({flag!r})
        except FileNotFoundError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGSTOP)
        return await original(*arguments, **named)

    module.{name} = stopping
"""


class Stop:
    """`service` (its package) stops before `where`.`name` goes on, once after each `arm`; `environ` makes it so."""

    def __init__(self, folder: Path, service: str, where: str, name: str) -> None:
        self._flag = folder / "stop-here"
        site = _SITE.format(module=service, where=where, name=name, flag=str(self._flag))
        (folder / "sitecustomize.py").write_text(site)
        self.environ = {"PYTHONPATH": str(folder)}

    def arm(self) -> None:
        self._flag.touch()

    def wait(self, pid: int, seconds: float = 30.0) -> None:
        """Return when the process stands still; TimeoutError when it does not."""
        deadline = time.monotonic() + seconds
        while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {pid} has not come to the place within {seconds:g} s")
            time.sleep(0.02)
