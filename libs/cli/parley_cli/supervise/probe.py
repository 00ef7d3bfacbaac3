"""Is a child ready? Asked over HTTP, in a few lines, so that the supervisor needs no HTTP library."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec


async def http_reason(host: str, port: int, path: str, patience_s: float = 2.0) -> str:
    """Empty when `path` answers 200, else one sentence why not: the service's own where it gives one."""
    try:
        status, body = await asyncio.wait_for(_get(host, port, path), patience_s)
    except (OSError, TimeoutError, ValueError):
        return f"{host}:{port} does not answer yet."
    return "" if status == 200 else _said(body) or f"{host}:{port}{path} answers {status}."


async def http_json(host: str, port: int, path: str, patience_s: float = 2.0) -> Any:
    """What `path` answers, decoded; None where it does not answer that way."""
    try:
        status, body = await asyncio.wait_for(_get(host, port, path), patience_s)
        return msgspec.json.decode(body) if status == 200 else None
    except (OSError, TimeoutError, ValueError):
        return None


async def _get(host: str, port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        # Not 1.1: long answers would come in chunks.
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    first = head.split(None, 2)
    if len(first) < 2:
        raise ValueError("This is not HTTP.")
    return int(first[1]), body


def _said(body: bytes) -> str:
    try:
        content = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ""
    if not isinstance(content, dict):
        return ""
    return str(content.get("reason") or content.get("message") or content.get("error") or "")
