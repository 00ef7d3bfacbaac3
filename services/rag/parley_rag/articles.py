"""The articles that come with the service, read from its package folder or from a folder that the settings name."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from parley_proto.documents import SUFFIXES, parse
from parley_proto.errors import SettingsError, TransientError
from parley_proto.rag import Document

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


def read_articles(folder: Path) -> list[Document]:
    """Every file of a known kind under `folder`; ids are relative paths without suffix.

    TransientError for a file that can't be read, PermanentError for one that says nothing sensible.
    """
    try:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        texts = [(path.relative_to(folder).as_posix(), path.read_text("utf-8", errors="replace")) for path in paths]
    except OSError as error:
        raise TransientError(f"The articles in {folder} can't be read: {error}.", code="articles_unreadable") from error
    return [document for name, text in texts for document in parse(name, text)]
