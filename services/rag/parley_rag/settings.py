"""What can be set: section `rag`, so `PARLEY_RAG_DATA_DIR` and so on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Whole = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Cosine = Annotated[float, msgspec.Meta(ge=-1, le=1)]


class Settings(msgspec.Struct, frozen=True):
    """Sizes are words, `cache_size` is vectors of 1.5 KB, `query_cache_size` is answers of some 5 KB,
    `resident_rows` is how large a table may be to be searched in memory too, at some 5 KB a window.

    `knowledge_dir` empty means the articles of this package; 'none' starts without any.
    `embedding` is `local` for MiniLM in processes of this service, or `llm-gateway` for `embedding_model` behind it.
    `table_uri` and `snapshot_uri` empty mean folders in `data_dir`; `s3://bucket/prefix` takes its credentials from
    the usual AWS_* variables. `snapshots_kept` 0 takes none by itself.
    `floor` is the cosine below which a best passage counts as no answer. With 0.38 the articles stay silent on 85 % of
    CLINC150's unrelated questions and on 3 % of Banking77's; an e-manual loses 0.8 % of its questions, a FAQ none.
    """

    data_dir: str = ".parley/rag"
    knowledge_dir: str = ""
    table_uri: str = ""
    snapshot_uri: str = ""
    snapshots_kept: Whole = 5
    quiet_s: Seconds = 1.0
    embedding: Literal["local", "llm-gateway"] = "local"
    embedding_model: str = ""
    precision: Literal["fp32", "int8"] = "fp32"
    threads: Count = 1
    embed_workers_least: Count = 1
    embed_workers_most: Count = 2
    embed_waiting: Count = 5_000
    batch_size: Count = 64
    cache_size: Whole = 10_000
    disk_cache_mb: Whole = 256
    query_workers_least: Count = 1
    query_workers_most: Count = 8
    query_waiting: Count = 500
    query_cache_size: Whole = 2_000
    resident_rows: Whole = 8_192
    read_timeout_s: Seconds = 30.0
    read_memory_mb: Count = 1_024
    floor: Cosine = 0.38
    candidates: Count = 100
    window_words: Count = 60
    overlap_words: Whole = 30
    passage_words: Count = 160

    @property
    def data(self) -> Path:
        return Path(self.data_dir)

    @property
    def table(self) -> str:
        return self.table_uri or str(self.data / "lance")

    @property
    def snapshots(self) -> str:
        return self.snapshot_uri or str((self.data / "snapshots").resolve())
