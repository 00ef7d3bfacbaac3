"""The configuration file, read again when it changes: a broken one is refused and the old one stays."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path

from parley_llm_gateway import metrics
from parley_llm_gateway.completions import Completions
from parley_llm_gateway.config import Config, from_settings
from parley_llm_gateway.config_file import parse
from parley_llm_gateway.models import Models
from parley_llm_gateway.settings import Settings
from parley_mesh.tasks import end
from parley_mesh.telemetry import log
from parley_proto.errors import SettingsError

LOOK_S = 0.5


def read(settings: Settings) -> Config:
    """The configuration of the file, or of the environment alone where there is no file. SettingsError."""
    if not settings.config:
        return from_settings(settings)
    path = Path(settings.config)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} can't be read: {error}. Correct PARLEY_LLM_GATEWAY_CONFIG.") from error
    return parse(text, str(path), os.environ)


class Reload:
    """Looks at the file twice a second and gives `completions` a new plant when it changed."""

    def __init__(self, settings: Settings, completions: Completions) -> None:
        self._settings = settings
        self._completions = completions
        self._seen = self._stamp()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        if self._settings.config:
            self._spawn(self._watch())

    async def stop(self) -> None:
        for task in list(self._tasks):
            await end(task)

    def look(self) -> None:
        """Take the file's present state over, if it is another one and a sound one."""
        stamp = self._stamp()
        if stamp in (self._seen, None):
            return
        self._seen = stamp
        try:
            config = read(self._settings)
        except SettingsError as error:
            metrics.reloads.labels("refused").inc()
            log("parley.llm").error("configuration refused", extra={"reason": error.message})
            return
        old = self._completions.plant
        new = self._completions.plant = Models(config, old)
        metrics.reloads.labels("taken").inc()
        log("parley.llm").info("configuration taken", extra={"models": list(config.models)})
        self._spawn(old.retire(new, self._settings.total_s))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._call(self.look)

    def _call(self, look: Callable[[], None]) -> None:
        try:
            look()
        except Exception:
            # The watch must outlive whatever a new configuration does wrong.
            log("parley.llm").exception("reload failed")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._settings.config)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
