"""How many workers there should be. Pure."""

from __future__ import annotations

import msgspec


class Sizing(msgspec.Struct, frozen=True):
    """`least` to `most` workers: one more when over `backlog` texts wait for `moment_s`, one less after `idle_s`."""

    least: int
    most: int
    backlog: int
    moment_s: float = 0.1
    idle_s: float = 30.0

    def grows(self, workers: int, starting: int, waiting: int, for_s: float) -> bool:
        """Whether to start a worker, `waiting` texts having been more than `backlog` `for_s` seconds long.

        `starting` of the `workers` are not ready yet: what they will take is not known before they are.
        """
        if workers < self.least:
            return True
        return workers < self.most and not starting and waiting > self.backlog and for_s >= self.moment_s

    def shrinks(self, workers: int, idle_s: float) -> bool:
        """Whether a worker without work for `idle_s` seconds should end."""
        return workers > self.least and idle_s >= self.idle_s
