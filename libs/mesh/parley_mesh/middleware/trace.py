"""Continue the trace of whoever sent the work."""

from __future__ import annotations

from parley_mesh.telemetry import continued, tracer
from parley_mesh.work import Delivery, Handler, Middleware


def trace(name: str) -> Middleware:
    """A span `name` around the handler, in the sender's trace."""

    def wrap(handler: Handler) -> Handler:
        async def traced(delivery: Delivery) -> None:
            with continued(delivery.headers), tracer().start_as_current_span(name) as span:
                span.set_attribute("messaging.message.delivery_attempt", delivery.attempt)
                await handler(delivery)

        return traced

    return wrap
