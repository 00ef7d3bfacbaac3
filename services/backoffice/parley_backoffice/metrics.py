"""What an operator sees in numbers."""

from __future__ import annotations

import time

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest


class Metrics:
    """Counts and durations of one instance, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "parley_backoffice_requests",
            "Requests by route and status",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "parley_backoffice_request_seconds",
            "Time to answer, by route",
            ("method", "route"),
            registry=self._registry,
        )
        self._calls = Counter(
            "parley_backoffice_calls",
            "Side-effecting calls by outcome",
            ("name", "outcome"),
            registry=self._registry,
        )

    def count_call(self, name: str, status: int, *, replayed: bool) -> None:
        """Count a side-effecting call as executed, refused or replayed."""
        outcome = "replayed" if replayed else "refused" if status >= 400 else "executed"
        self._calls.labels(name, outcome).inc()

    def text(self) -> bytes:
        """All of it in the text format of Prometheus."""
        return generate_latest(self._registry)

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Wrap an ASGI app so that each of its answers is counted and timed."""

        async def measured(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            method, route, begun = scope["method"], scope.get("path_template", "unknown"), time.perf_counter()

            async def counting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._requests.labels(method, route, str(message["status"])).inc()
                    self._seconds.labels(method, route).observe(time.perf_counter() - begun)
                await send(message)

            await app(scope, receive, counting)

        return measured
