"""Addresses in a streamed answer: those of allowed hosts stay, of any other only a mark. Pure.

How a text is cut into deltas does not matter. Ordinary words are never held back; what may become an address is, until
its word ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

REMOVED = "…"
_LONGEST = 2000
_REMEMBERED = 300
# A label of a host has at most 63 characters; no sign of an address is longer.
_SEEN = 80
_ENDS = frozenset('<>"()[]{}|`^，。、！？；：（）「」')
_SCHEMES = ("http", "https", "ftp", "ftps", "ws", "wss", "file", "data", "blob", "javascript", "vbscript", "www")
_KNOWN = "|".join(_SCHEMES)
_BEGINNINGS = "|".join(sorted({name[:size] for name in _SCHEMES for size in range(1, len(name) + 1)}))
# Of a host's last label: letters, or what a domain in another script is encoded as.
_LAST = r"[^\W_]\.(?:[^\W\d_]{2,63}|xn--[a-z0-9-]{1,59})"
_ADDRESS = re.compile(
    rf"(?:^|[^a-z0-9])(?:(?:{_KNOWN})(?::|%3a|&(?:colon|\#0*58|\#x0*3a);?)[^\s;]|www\.[^\s.])\Z"
    rf"|[\\/]{{2}}[\w%&@-]\Z"
    rf"|{_LAST}(?:/|[\\?#][^\s]|:\d)\Z",
    re.IGNORECASE,
)
_MAY_BECOME = re.compile(
    rf"(?:^|[^a-z0-9])(?:{_BEGINNINGS})\Z"
    rf"|(?:^|[^a-z0-9])(?:{_KNOWN})(?:%3?a?|&[#a-z0-9]*;?)\Z"
    rf"|[:\\/]\Z|[^\W_]\.[\w-]{{0,63}}\Z|{_LAST}[\\?#]\Z",
    re.IGNORECASE,
)
# Without one of these there is no address; looking for them costs nothing.
_SIGN = re.compile(r"[:/\\?#%&]|www\.", re.IGNORECASE)
_INNER = re.compile("[A-Za-z0-9]+")
# Whole words in which nothing can be a sign of an address, each with what ends it: most of most texts.
_PLAIN = re.compile(rf"(?:[^\s{re.escape(''.join(_ENDS))}:/\\?#%&.]*+[\s{re.escape(''.join(_ENDS))}])++")
_TAIL = re.compile(r"[.,;:!?'*_~…]*\Z")
_SAFE = re.compile(r"https://([a-z0-9.-]{1,253})(?::443)?(?:[/?#][a-z0-9._~/?#!$&+,;=:@%'*-]*)?", re.IGNORECASE)


def hosts_of(setting: str) -> frozenset[str]:
    """The hosts of a comma-separated setting; none where it is empty."""
    return frozenset(host.strip().lower() for host in setting.split(",") if host.strip())


def is_allowed(address: str, hosts: frozenset[str]) -> bool:
    """Whether an address goes to one of `hosts` for every reader: plain https, the whole host, nobody before an @."""
    found = _SAFE.fullmatch(address)
    return bool(found) and found[1].lower() in hosts if found else False


class Addresses:
    """Removes the addresses of hosts that are not in `hosts` from text that comes in pieces of any size."""

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = hosts
        self._out: list[str] = []
        self._said = ""
        self._held = ""
        self._certain = False

    def feed(self, pieces: Sequence[str]) -> str:
        """What can be shown by now."""
        for piece in pieces:
            at = 0
            while at < len(piece):
                at = self._next(piece, at)
        return self._taken()

    def kept(self, piece: str) -> str:
        """What was held back, and `piece` as it is: it was checked whole."""
        self._end_word()
        self._out.append(piece)
        return self._taken()

    def end(self) -> str:
        """What was held back last."""
        self._end_word()
        return self._taken()

    def _taken(self) -> str:
        shown, self._out = "".join(self._out), []
        return shown

    def _next(self, piece: str, at: int) -> int:
        """Take what stands at `at`: as many words or letters as need no look each, or one character."""
        if not self._held and not self._said and (plain := _PLAIN.match(piece, at)):
            self._out.append(plain[0])
            self._said = ""
            return plain.end()
        if self._is_inside() and (inner := _INNER.match(piece, at)):
            self._show(inner[0])
            return inner.end()
        self._step(piece[at])
        return at + 1

    def _step(self, char: str) -> None:
        if char.isspace() or char in _ENDS:
            self._end_word()
            self._out.append(char)
        elif self._certain:
            # An address that is too long is not an allowed one, and of others nothing is shown.
            self._held = (self._held + char)[: _LONGEST + 1]
        else:
            self._weigh(char)

    def _is_inside(self) -> bool:
        """Whether what comes next stands inside of a word that is shown already: no scheme and no host begins there."""
        before = self._said[-1:]
        return not self._held and before.isascii() and before.isalnum()

    def _weigh(self, char: str) -> None:
        """Hold back `char` where the word is an address by now, or may become one."""
        if char.isalnum() and self._is_inside():
            self._show(char)
            return
        self._held += char
        word = (self._said[-_SEEN:] + self._held[-_SEEN:])[-_SEEN:]
        self._certain = bool(_SIGN.search(self._held)) and bool(_ADDRESS.search(word))
        if not self._certain and (len(self._held) > _REMEMBERED or not _MAY_BECOME.search(word)):
            self._show(self._held)

    def _show(self, held: str) -> None:
        self._out.append(held)
        self._said = (self._said + held)[-_REMEMBERED:]
        self._held = ""

    def _end_word(self) -> None:
        held = self._held
        tail = _TAIL.search(held)
        cut = tail.start() if tail else len(held)
        if self._certain and not self._may_stay(self._said + held[:cut]):
            held = REMOVED + held[cut:]
        self._out.append(held)
        self._said, self._held, self._certain = "", "", False

    def _may_stay(self, word: str) -> bool:
        address = word.lstrip("'*_~")
        if len(address) > _LONGEST:
            return False
        return is_allowed(address if "://" in address else f"https://{address}", self._hosts)
