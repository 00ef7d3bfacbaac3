"""Files as Documents: what may be read, how, and why something was not."""

from __future__ import annotations

from parley_rag.reading.files import LARGEST, read
from parley_rag.reading.outcome import Defaults, Reading, Slice
from parley_rag.reading.reader import Reader

__all__ = ["LARGEST", "Defaults", "Reader", "Reading", "Slice", "read"]
