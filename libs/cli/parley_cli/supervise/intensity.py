"""When a child may be started again, and when its falling has to stop everything (OTP's restart intensity)."""

from __future__ import annotations

from collections import deque

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0


class Intensity:
    """Counts the restarts of one child: at most `most` within `window_s` seconds. Times are monotonic seconds."""

    def __init__(self, most: int, window_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._falls: deque[float] = deque()

    def fell(self, now: float) -> float | None:
        """The seconds to wait before the next start; None when it fell too often.

        The first restart is immediate, the next ones wait 0.1 s, 0.2 s and so on up to 2 s.
        """
        while self._falls and now - self._falls[0] > self._window_s:
            self._falls.popleft()
        self._falls.append(now)
        if len(self._falls) > self._most:
            return None
        repeats = len(self._falls) - 2
        return 0.0 if repeats < 0 else min(FIRST_WAIT_S * 2.0**repeats, LONGEST_WAIT_S)

    def forgive(self) -> None:
        """Forget the falls so far: somebody has asked for a new beginning."""
        self._falls.clear()


def may_go_on(left: int, of: int, *, majority: bool) -> bool:
    """Whether the work goes on with `left` of `of` instances: most of those that vote, any of the others."""
    return left > of // 2 if majority else left > 0
