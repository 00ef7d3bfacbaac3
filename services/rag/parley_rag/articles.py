"""The articles that come with the service, read from its package folder or from a folder that the settings name."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Iterator
from pathlib import Path

from parley_proto.errors import SettingsError, TransientError
from parley_rag.reading import Reading, read
from parley_rag.reading.files import check_size, refused
from parley_rag.reading.outcome import Unreadable
from parley_rag.requests import accept

NONE = "none"


def folder_of(knowledge_dir: str) -> Path | None:
    """Where the articles are; None for none. SettingsError for a folder that does not exist."""
    if knowledge_dir == NONE:
        return None
    if not knowledge_dir:
        return Path(str(importlib.resources.files("parley_rag"))) / "knowledge"
    folder = Path(knowledge_dir)
    if not folder.is_dir():
        raise SettingsError(f"PARLEY_RAG_KNOWLEDGE_DIR is wrong: {folder} is not a folder. Name one, or 'none'.")
    return folder


def read_articles(folder: Path) -> Reading:
    """Every file under `folder` that is not hidden; a file or a folder in it that can't be read is skipped.

    Blocking, and in this process: an operator's own folder is trusted not to be hostile. TransientError where the
    folder itself can't be read.
    """
    closed: list[OSError] = []
    names = sorted(_names(folder, closed))
    if closed and closed[0].filename == str(folder):
        raise TransientError(
            f"The articles in {folder} can't be read: {closed[0].strerror}.", code="articles_unreadable"
        )
    readings = [_read(folder, name) for name in names]
    readings += [_unopened(Path(error.filename).relative_to(folder).as_posix(), error) for error in closed]
    accepted = accept([document for reading in readings for document in reading.documents])
    skipped = [skipped for reading in readings for skipped in reading.skipped]
    return Reading(accepted.documents, [*skipped, *accepted.skipped])


def _names(folder: Path, closed: list[OSError]) -> Iterator[str]:
    """Relative names of the files; folders that can't be listed go to `closed`."""
    for place, folders, files in os.walk(folder, onerror=closed.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in files if not name.startswith("."))
        yield from (path.relative_to(folder).as_posix() for path in paths if path.is_file())


def _read(folder: Path, name: str) -> Reading:
    path = folder / name
    try:
        check_size(path.stat().st_size)
        return read(name, path.read_bytes())
    except Unreadable as error:
        return refused(name, error.message)
    except OSError as error:
        return _unopened(name, error)


def _unopened(name: str, error: OSError) -> Reading:
    return refused(name, f"it can't be read: {error.strerror}")
