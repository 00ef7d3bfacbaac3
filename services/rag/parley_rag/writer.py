"""One writer at a time: among the tasks of this process, and among the processes on one folder."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from parley_proto.errors import TransientError

_LOOK_AGAIN_S = 0.05


class Writer:
    """Whoever holds it may write to the table. LanceDB lets several write at once, but makes all but one begin anew.

    On object storage there is no lock between machines: there the table's primary key is what refuses doubles.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / "writer.lock" if folder else None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for our turn; TransientError where the folder can't be written."""
        async with self._turn:
            if self._file is None:
                yield
                return
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                file = self._file.open("w")
            except OSError as error:
                reason = f"{self._file} can't be written: {error}. Make room, or correct PARLEY_RAG_DATA_DIR."
                raise TransientError(reason, code="knowledge_unavailable") from error
            with file:
                while not _locked(file.fileno()):
                    await asyncio.sleep(_LOOK_AGAIN_S)
                yield


def _locked(descriptor: int) -> bool:
    # Not a wait in a thread: that could not be ended when the service stops.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
