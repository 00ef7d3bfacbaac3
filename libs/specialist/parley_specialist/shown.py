"""What a customer is shown of a model's words: the same for the words as they come and for the whole answer. Pure.

A model may have obeyed a document, a tool's result or the customer; so what it says is data too. Links and images go
only to allowed hosts, there are no tags and no invisible characters, and the instructions are not recited.
"""

from __future__ import annotations

import unicodedata

import msgspec

from parley_specialist.addresses import Addresses, is_allowed
from parley_specialist.confidential import Confidential, Secrets
from parley_specialist.markup import Kept, Markup

LONGEST_ANSWER = 16_000
# Persian and emoji need the joiners, mixed Arabic text the marks of direction; they end, reorder and hide nothing.
_HARMLESS = "\n\t\u200c\u200d\u200e\u200f"


class Policy(msgspec.Struct, frozen=True):
    """What may be shown: links to these hosts (none where it is empty), and nothing of the secrets."""

    hosts: frozenset[str]
    secrets: Secrets


class Shown:
    """The filter of one answer: feed it the deltas, then end it."""

    def __init__(self, policy: Policy) -> None:
        hosts = policy.hosts
        self._markup = Markup(lambda address: is_allowed(address, hosts), lambda label: _unlinked(label, hosts))
        self._addresses = Addresses(hosts)
        self._confidential = Confidential(policy.secrets)

    def feed(self, text: str) -> str:
        """What of the answer can be shown by now."""
        return self._through(self._markup.feed(visible(text)))

    def end(self) -> str:
        """What was held back."""
        shown = self._through(self._markup.end())
        shown += self._confidential.feed(self._addresses.end())
        return shown + self._confidential.end()

    def _through(self, pieces: list[str]) -> str:
        found = [self._addresses.kept(one) if isinstance(one, Kept) else self._addresses.feed([one]) for one in pieces]
        return self._confidential.feed("".join(found))


def shown(text: str, policy: Policy) -> str:
    """What a customer is shown of `text`."""
    screen = Shown(policy)
    return screen.feed(text) + screen.end()


def visible(text: str) -> str:
    """`text` without control characters, direction overrides, zero widths, tags and halves of surrogate pairs."""
    # isprintable knows the categories C; all spaces but the usual one are none to it, and texts have lines.
    if text.replace("\n", "").replace("\t", "").replace("\u00a0", "").isprintable():
        return text
    return "".join(char for char in text if char in _HARMLESS or not unicodedata.category(char).startswith("C"))


def _unlinked(label: str, hosts: frozenset[str]) -> str:
    words = Addresses(hosts)
    return words.feed([label]) + words.end()
