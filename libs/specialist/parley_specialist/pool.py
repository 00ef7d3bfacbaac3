"""How many turns a specialty works on at once: more while there is work and looking things up is quick. Pure."""

from __future__ import annotations

from parley_mesh.gradient import Gradient

# In times of the least that there may be.
_AT_FIRST = 4
# Of what waits in the log, how much brings one more.
_WAITING_EACH = 8
# Up to there a search is quick, whether a cache knew it or not.
_QUICK_S = 0.05
# A search that takes three times as long is usual after some two thousand turns: longer than an overload lasts.
_RISES = 0.0005


class Pool:
    """Between `least` and `most` workers.

    What is measured is the search that begins each turn: its time does not depend on the model, and it grows when the
    machine, or rag, has too much to do. Work that finds no worker waits in the log, where the gateway sees it wait.

    A search is as slow for everyone. So what waits here raises the least, up to what there is at first: otherwise the
    specialty that most customers ask for would have no larger part of the machine than one that nobody does.
    """

    def __init__(self, least: int, most: int) -> None:
        self._least = min(least, most)
        self._most = most
        self._at_first = min(most, _AT_FIRST * self._least)
        self._exact = float(self._at_first)
        self._gradient = Gradient(_RISES)

    def workers(self, waiting: int) -> int:
        """How many may work while `waiting` turns wait in the log."""
        return max(int(self._exact), min(self._at_first, self._least + waiting // _WAITING_EACH))

    def note(self, searched_s: float, busy: int) -> None:
        """A search took so long while `busy` workers were at work."""
        self._gradient.note(max(searched_s, _QUICK_S))
        if busy * 2 >= int(self._exact):
            self._exact = min(self._most, max(self._least, self._gradient.grown(self._exact)))
