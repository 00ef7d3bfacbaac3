"""Tell the log that the work is still being done, so that only a dead worker's work is delivered elsewhere."""

from __future__ import annotations

import asyncio

from parley_mesh.errors import CLIENT_ERRORS
from parley_mesh.telemetry import log
from parley_mesh.work import Delivery, Handler, Middleware


def keepalive(every_s: float) -> Middleware:
    """An in-progress ack each `every_s` seconds; it must be well below the consumer's `ack_wait`."""

    def wrap(handler: Handler) -> Handler:
        async def kept(delivery: Delivery) -> None:
            beating = asyncio.create_task(_beat(delivery, every_s))
            try:
                await handler(delivery)
            finally:
                beating.cancel()

        return kept

    return wrap


async def _beat(delivery: Delivery, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            await delivery.message.in_progress()
        except CLIENT_ERRORS as error:
            log("parley.mesh").info("in-progress ack failed", extra={"seq": delivery.seq, "reason": str(error)})
