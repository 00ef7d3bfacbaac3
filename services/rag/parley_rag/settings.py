"""What can be set: section `rag`, so `PARLEY_RAG_DATA_DIR` and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Cosine = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class Settings(msgspec.Struct, frozen=True):
    """Sizes are words, `cache_size` is vectors of 1.5 KB.

    `knowledge_dir` empty means the articles of this package; 'none' starts without any.
    `floor` is the cosine below which a best passage counts as no answer. With 0.38 the articles stay silent on 85 % of
    CLINC150's unrelated questions and on 3 % of Banking77's; an e-manual loses 0.8 % of its questions, a FAQ none.
    """

    data_dir: str = ".parley/rag"
    knowledge_dir: str = ""
    precision: Literal["fp32", "int8"] = "fp32"
    threads: Count = 1
    batch_size: Count = 64
    cache_size: Count = 10_000
    floor: Cosine = 0.38
    candidates: Count = 50
    window_words: Count = 80
    overlap_words: Annotated[int, msgspec.Meta(ge=0)] = 40
    passage_words: Count = 160

    @property
    def data(self) -> Path:
        return Path(self.data_dir)
