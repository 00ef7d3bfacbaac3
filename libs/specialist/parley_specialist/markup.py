"""Links, images and tags of a streamed answer: their words stay, what they point at only where it is allowed. Pure.

One character at a time, or a run of those that can't be markup, so that how a text is cut into deltas does not matter.
Whatever a reader takes for Markdown or HTML: in what comes out, no `]` is followed by `(`, no definition of a link
begins a line, and no `<` begins a tag, except in the links that were checked whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

_LONGEST_LABEL = 400
_LONGEST_TARGET = 1000
_LONGEST_TAG = 1000
_DEEPEST = 4
_PLAIN = re.compile(r"[^!\[\]<\n]+")
_AUTOLINK = re.compile(r"[a-z][a-z0-9+.-]{1,31}:\S*|\S+@\S+", re.IGNORECASE)
# No address can be made of these: '[1](see below)' is a mark and a remark.
_REMARK = re.compile(r"(?:[^\W_]|[ ,;'’-]|\.(?!\w))*")


class Kept(str):
    """A link that was checked whole and goes on as it is."""

    __slots__ = ()


class _Label(msgspec.Struct):
    """The text between brackets, as far as it has come."""

    image: bool
    in_prose: bool
    pieces: list[str] = []
    last: str = ""
    size: int = 0

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.last = piece[-1]
        self.size += len(piece)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Markup:
    """Takes characters, gives text without markup, and links where `allows(address)`, whose words `clean` makes fit."""

    def __init__(self, allows: Callable[[str], bool], clean: Callable[[str], str]) -> None:
        self._allows = allows
        self._clean = clean
        self._out = _Label(image=False, in_prose=False)
        self._labels: list[_Label] = []
        self._in_prose = False
        self._state: Callable[[str], None] = self._text
        self._held = ""
        self._depth = 0

    def feed(self, text: str) -> list[str]:
        """The pieces that are certain by now."""
        self._read(text)
        return self._taken()

    def end(self) -> list[str]:
        """What was held back: markup that was never closed is text."""
        while self._state != self._text:
            self._open_up()
        while self._labels:
            self._spill()
        return self._taken()

    def _read(self, text: str) -> None:
        at = 0
        while at < len(text):
            plain = _PLAIN.match(text, at) if self._state == self._text and not self._labels else None
            if plain:
                self._put(plain[0])
            else:
                self._state(text[at])
            at = plain.end() if plain else at + 1

    def _taken(self) -> list[str]:
        pieces, self._out.pieces = self._out.pieces, []
        return pieces

    def _text(self, char: str) -> None:
        if char == "!":
            self._state = self._bang
        elif char == "[":
            self._begin(image=False)
        elif char == "]" and self._labels:
            self._state = self._closed
        elif char == "<":
            self._state = self._angle
        else:
            self._put(char)

    def _bang(self, char: str) -> None:
        self._state = self._text
        if char == "[":
            self._begin(image=True)
        else:
            self._put("!")
            self._text(char)

    def _closed(self, char: str) -> None:
        if char == "(":
            self._state, self._held, self._depth = self._target, "", 0
            return
        self._state = self._text
        in_prose = self._literally(self._labels.pop())
        if char == ":" and in_prose:
            self._put(char, guarded=False)
        else:
            self._text(char)

    def _target(self, char: str) -> None:
        if char == ")" and not self._depth:
            self._state = self._text
            self._link(self._labels.pop(), self._held)
        elif self._is_no_target(char):
            self._open_up()
            self._state(char)
        else:
            self._depth += {"(": 1, ")": -1}.get(char, 0)
            self._held += char

    def _is_no_target(self, char: str) -> bool:
        begun = bool(self._held.strip())
        blank_line = char == "\n" and self._held.endswith("\n")
        return char in "[]" or (char == "<" and begun) or blank_line or len(self._held) >= _LONGEST_TARGET

    def _angle(self, char: str) -> None:
        if char in "/!?" or (char.isascii() and char.isalpha()):
            self._state, self._held = self._tag, char
        else:
            self._open_up()
            self._text(char)

    def _tag(self, char: str) -> None:
        if char == ">":
            self._state, tag = self._text, self._held
            if _AUTOLINK.fullmatch(tag):
                self._read(tag)
        elif char == "<" or len(self._held) >= _LONGEST_TAG:
            self._open_up()
            self._state(char)
        else:
            self._held += char

    def _open_up(self) -> None:
        """What looked like markup is none: show its sign, and read again what followed it."""
        state, held = self._state, self._held
        self._state, self._held = self._text, ""
        if state == self._bang:
            self._put("!")
        elif state == self._closed:
            self._literally(self._labels.pop())
        elif state == self._target:
            self._literally(self._labels.pop())
            self._read("(" + held)
        else:
            self._put("<")
            self._read(held if state == self._tag else "")

    def _begin(self, *, image: bool) -> None:
        if len(self._labels) >= _DEEPEST:
            self._spill()
        self._labels.append(_Label(image, self._in_prose and not self._labels))

    def _spill(self) -> None:
        """The outermost bracket is no label: what it holds is text."""
        label = self._labels.pop(0)
        inner, self._labels = self._labels, []
        self._opened(label)
        self._labels = inner

    def _literally(self, label: _Label) -> bool:
        """The brackets are text like any other; whether they stand in prose."""
        self._opened(label)
        self._put("]")
        return label.in_prose and not self._labels

    def _opened(self, label: _Label) -> None:
        self._put("![" if label.image else "[")
        for piece in label.pieces:
            self._put(piece)

    def _link(self, label: _Label, target: str) -> None:
        address = target.split(maxsplit=1)[0].strip("<>") if target.strip() else ""
        if self._allows(address) and not any(isinstance(piece, Kept) for piece in label.pieces):
            self._put(Kept(f"{'!' if label.image else ''}[{self._clean(label.text)}]({address})"))
        elif _REMARK.fullmatch(target):
            self._literally(label)
            self._read(f"({target})")
        elif label.text.isdecimal() and not label.image:
            # The mark of a citation stays one.
            self._literally(label)
        else:
            for piece in label.pieces:
                self._put(piece)

    def _put(self, piece: str, *, guarded: bool = True) -> None:
        """Add to the innermost label, or to the text; two signs that would be markup together are parted."""
        sink = self._labels[-1] if self._labels else self._out
        if guarded and _is_markup(sink.last, piece[0]) and not isinstance(piece, Kept):
            sink.add(" ")
        sink.add(piece)
        if self._labels:
            while sum(label.size for label in self._labels) > _LONGEST_LABEL:
                self._spill()
        elif piece == "\n":
            self._in_prose = False
        elif not isinstance(piece, Kept) and any(map(str.isalpha, piece)):
            self._in_prose = True


def _is_markup(before: str, char: str) -> bool:
    if before == "]":
        return char in "(:"
    return before == "<" and (char in "/!?" or (char.isascii() and char.isalpha()))
