"""The offline model: extractive, grounded, deterministic. It chooses tools, asks for what is missing, and answers
only from tool results and passages; it never makes anything up."""

from parley_llm_gateway.offline.model import MODEL, pieces

__all__ = ["MODEL", "pieces"]
