"""The one place that acknowledges work: done is acked, a passing fault is given back, a lasting one is terminated."""

from __future__ import annotations

from nats.errors import Error as NatsError

from parley_mesh.telemetry import log
from parley_mesh.work import Delivery, Handler, Middleware
from parley_proto.errors import ParleyError, PermanentError

FIRST_DELAY_S = 0.25
MAX_DELAY_S = 5.0
_UNANSWERED = {"no_responders", "timeout"}


def acknowledge() -> Middleware:
    def wrap(handler: Handler) -> Handler:
        async def acknowledged(delivery: Delivery) -> None:
            try:
                await handler(delivery)
            except PermanentError as error:
                _note(delivery, error)
                await _send(delivery, delivery.message.term())
            except ParleyError as error:
                _note(delivery, error)
                await _send(delivery, delivery.message.nak(delay=delay(delivery.attempt, error.code)))
            except Exception:
                log("parley.mesh").exception("work failed", extra={"seq": delivery.seq, "attempt": delivery.attempt})
                await _send(delivery, delivery.message.nak(delay=delay(delivery.attempt)))
            else:
                await _send(delivery, delivery.message.ack())

        return acknowledged

    return wrap


def delay(attempt: int, code: str = "") -> float:
    """Seconds before the next attempt: growing, bounded. `nak()` ignores the consumer's own backoff (nats.md).

    Where nobody answers, four attempts outlast the election of a new leader, which takes up to nine seconds (nats.md,
    'Streams and limits').
    """
    growing = 2 * FIRST_DELAY_S * 3 ** (attempt - 1) if code in _UNANSWERED else FIRST_DELAY_S * 2 ** (attempt - 1)
    return float(min(growing, MAX_DELAY_S))


def _note(delivery: Delivery, error: ParleyError) -> None:
    extra = {"seq": delivery.seq, "attempt": delivery.attempt, "code": error.code, "reason": error.message}
    log("parley.mesh").warning("work not done", extra=extra)


async def _send(delivery: Delivery, sending: object) -> None:
    try:
        await sending  # type: ignore[misc]
    except NatsError as error:
        # An ack that is lost costs a redelivery, which the idempotent handler recognises.
        log("parley.mesh").info("ack failed", extra={"seq": delivery.seq, "reason": str(error)})
