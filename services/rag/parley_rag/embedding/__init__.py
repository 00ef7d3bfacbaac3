"""Texts to vectors: caches, a queue with two lanes, a pool of workers, and the models behind it."""

from __future__ import annotations

from parley_rag.embedding.choice import embedder_for
from parley_rag.embedding.embedder import Embedder, Worker, WorkerLostError
from parley_rag.embedding.encoder import Encoder
from parley_rag.embedding.in_process import InProcess

__all__ = ["Embedder", "Encoder", "InProcess", "Worker", "WorkerLostError", "embedder_for"]
