"""Where a mesh on this machine keeps what it must remember: one folder, `.parley` unless said otherwise."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

DEFAULT = ".parley"
_LONGEST_SOCKET = 100


class Home(msgspec.Struct, frozen=True):
    """The folder of one mesh and the places in it."""

    root: Path

    @classmethod
    def at(cls, folder: str) -> Home:
        return cls(Path(folder or os.environ.get("PARLEY_DATA", "") or DEFAULT).absolute())

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def master_key(self) -> Path:
        """What wraps the keys of the archive: whoever loses it loses the archive's words."""
        return self.root / "archiver.key"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def traces(self) -> Path:
        return self.root / "traces"

    @property
    def nats(self) -> Path:
        return self.root / "nats"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def control(self) -> Path:
        """The supervisor's socket; in the temporary folder where the path would be too long for one (unix(7))."""
        near = self.root / "control.sock"
        if len(str(near)) <= _LONGEST_SOCKET:
            return near
        return Path(tempfile.gettempdir()) / f"parley-{os.getuid()}-{self.root.stat().st_ino}.sock"

    def log_of(self, instance: str) -> Path:
        return self.logs / f"{instance}.log"

    def make(self) -> None:
        """Create the folders. OSError when that is not possible."""
        for folder in (self.root, self.logs, self.traces, self.nats):
            folder.mkdir(parents=True, exist_ok=True)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` whole, readable by its owner only: a crash leaves the old one or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    beside.replace(path)
