"""A folder on a disk or a prefix in an object store, read and written the same way (pyarrow.fs)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from pyarrow import fs

# An object store is asked once a chunk; four are in memory at a time.
_CHUNK = 8 << 20
_ATTEMPTS = 3
_CONNECT_S = 5
_REQUEST_S = 60
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Found(msgspec.Struct, frozen=True):
    """A file that was listed: `path` below the place, `size` in bytes, `modified` in nanoseconds since 1970."""

    path: str
    size: int
    modified: int


class Place:
    """Every method raises OSError. `on_disk` says whether files have folders, and can be renamed at once."""

    def __init__(self, files: Any, root: str, *, on_disk: bool) -> None:
        self._files = files
        self.root = root
        self.on_disk = on_disk

    def beside(self, suffix: str) -> Place:
        """The place whose name is this one's and `suffix`."""
        return Place(self._files, self.root + suffix, on_disk=self.on_disk)

    def siblings(self, suffix: str) -> list[Place]:
        """The places whose names are this one's, `suffix` and anything."""
        above = fs.FileSelector(self.root.rsplit("/", 1)[0], allow_not_found=True)
        found = [info for info in self._files.get_file_info(above) if info.type == fs.FileType.Directory]
        wanted = [info.path for info in found if info.path.startswith(self.root + suffix)]
        return [Place(self._files, path, on_disk=self.on_disk) for path in wanted]

    def found(self, under: str = "") -> list[Found]:
        """Every file below `under`; none where there is no such folder."""
        selector = fs.FileSelector(self._full(under), recursive=True, allow_not_found=True)
        found = [info for info in self._files.get_file_info(selector) if info.type == fs.FileType.File]
        return [Found(info.path[len(self.root) + 1 :], info.size, info.mtime_ns or 0) for info in found]

    def size(self, path: str) -> int | None:
        """None where there is no such file."""
        info = self._files.get_file_info(self._full(path))
        return int(info.size) if info.type == fs.FileType.File else None

    def chunks(self, path: str) -> Iterator[bytes]:
        with self._files.open_input_stream(self._full(path)) as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """What is cut off may be left in part under `path`, in an object store too: use a name that nobody reads."""
        full = self._full(path)
        self._make_folder_of(full)
        with self._files.open_output_stream(full) as stream:
            for chunk in chunks:
                stream.write(chunk)
        if self.on_disk:
            _flush(full)

    def move(self, path: str, to: str, *, into: Place | None = None) -> None:
        """At once and whole, over what is there; `into` is on the same disk or in the same store."""
        target = (into or self)._full(to)
        self._make_folder_of(target)
        self._files.move(self._full(path), target)
        if self.on_disk:
            _flush(os.path.dirname(target))

    def remove(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._files.delete_file(self._full(path))

    def remove_all(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._files.delete_dir(self.root)

    def _make_folder_of(self, full: str) -> None:
        if self.on_disk:
            os.makedirs(os.path.dirname(full), exist_ok=True)

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root


def place_at(uri: str, environ: Mapping[str, str] | None = None) -> Place:
    """The place that `uri` names: a folder, `s3://bucket/prefix`, or another scheme that pyarrow knows.

    Credentials, region and endpoint of S3 come from the usual AWS_* variables.
    """
    scheme, marked, rest = uri.partition("://")
    if not marked:
        return Place(fs.LocalFileSystem(), str(Path(uri).resolve()), on_disk=True)
    if scheme == "s3":
        return Place(_s3(os.environ if environ is None else environ), rest.strip("/"), on_disk=False)
    files, root = fs.FileSystem.from_uri(uri)
    return Place(files, root.rstrip("/"), on_disk=isinstance(files, fs.LocalFileSystem))


def endpoint_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Endpoint and region for pyarrow. LanceDB reads the same variables; an endpoint without a scheme is HTTPS."""
    named = environ.get("AWS_ENDPOINT") or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or ""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    if not named:
        return {"region": region} if region else {}
    parts = urlsplit(named if "://" in named else f"//{named}")
    scheme = parts.scheme or ("http" if parts.hostname in _LOOPBACK else "https")
    # Stores other than Amazon's take any region, and pyarrow would ask Amazon for one.
    return {"endpoint_override": parts.netloc, "scheme": scheme, "region": region or "us-east-1"}


def _s3(environ: Mapping[str, str]) -> Any:
    return fs.S3FileSystem(
        connect_timeout=_CONNECT_S,
        request_timeout=_REQUEST_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        # One request for a small file, not three.
        allow_delayed_open=True,
        **endpoint_of(environ),
    )


def _flush(path: str) -> None:
    """To the disk: a list that outlives a power cut must not name files that do not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
