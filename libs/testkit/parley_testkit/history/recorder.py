"""Writes a history: appended, flushed line by line, by one writer."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import TracebackType

import msgspec

from parley_proto.envelope import now_ms
from parley_proto.errors import ConflictError
from parley_testkit.history.records import Record

_encoder = msgspec.json.Encoder()


class Recorder:
    """`with Recorder(path) as recorder`, then `write`. ConflictError when somebody else writes to this file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Recorder:
        self._file = self.path.open("ab", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConflictError(f"Somebody else writes to {self.path}.", code="second_writer") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, record: Record) -> None:
        """One line, handed to the system before this returns; the time is now unless the record has one."""
        stamped = record if record.at else msgspec.structs.replace(record, at=now_ms())
        self._file.write(_encoder.encode(stamped) + b"\n")
