"""Instructions stay with us: an answer ends where it begins to recite a sentence of them. Pure.

Words are held back only while they are the beginning of such a sentence.
"""

from __future__ import annotations

import re
from typing import Any

WITHHELD = "I can't share how I work, but tell me what you need and I will help."
# Shorter sentences are things that anybody may say, such as the price of something.
_FEWEST_WORDS = 9
_BLOCK = re.compile(r"\n\s*\n|\n\s*(?=(?:[-*#]|\d+[.)])\s)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"\w+")
_PIECE = re.compile(r"(\w+)|\W+")
_END = ""
Trie = dict[str, Any]


class Secrets:
    """The sentences of some instructions, by their words."""

    def __init__(self, instructions: str) -> None:
        self.root: Trie = {}
        for block in _BLOCK.split(instructions):
            for sentence in _SENTENCE.split(block):
                self._add([word.casefold() for word in _WORD.findall(sentence)])
        self.beginnings = {word[:size] for word in self.root for size in range(1, len(word) + 1)}

    def _add(self, words: list[str]) -> None:
        if len(words) < _FEWEST_WORDS:
            return
        node = self.root
        for word in words:
            node = node.setdefault(word, {})
        node[_END] = {}


class Confidential:
    """Passes text on until a whole sentence of `secrets` is about to be said, and WITHHELD in place of the rest."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._out: list[str] = []
        self._held = ""
        self._word = ""
        self._begun: list[tuple[int, Trie]] = []
        self._over = False

    def feed(self, text: str) -> str:
        """What can be shown by now."""
        for piece in _PIECE.finditer(text):
            if self._begins_nothing(piece):
                self._out.append(piece[0])
            elif not self._over:
                self._step(piece[0], of_a_word=piece[1] is not None)
        return self._taken()

    def end(self) -> str:
        """What was held back last."""
        if not self._over:
            self._end_word()
            self._release(len(self._held))
        return self._taken()

    def _taken(self) -> str:
        shown, self._out = "".join(self._out), []
        return shown

    def _begins_nothing(self, piece: re.Match[str]) -> bool:
        """Whether nothing is held back, and this is a gap or a whole word with which no sentence begins."""
        if self._held or self._word or self._over:
            return False
        word = piece[1]
        return word is None or (piece.end() < len(piece.string) and word.casefold() not in self._secrets.root)

    def _step(self, piece: str, *, of_a_word: bool) -> None:
        if of_a_word:
            self._held += piece
            self._word += piece.casefold()
            if not self._begun and self._word not in self._secrets.beginnings:
                self._release(len(self._held))
        else:
            self._end_word()
            self._pass(piece)

    def _pass(self, gap: str) -> None:
        """What stands between words is held back only inside of what may become a sentence."""
        if self._over:
            return
        self._held += gap
        if not self._begun:
            self._release(len(self._held))

    def _end_word(self) -> None:
        word, self._word = self._word, ""
        if not word:
            return
        begun = [(start, node[word]) for start, node in self._begun if word in node]
        if word in self._secrets.root:
            begun.append((len(self._held) - len(word), self._secrets.root[word]))
        self._begun = begun
        recited = [start for start, node in begun if _END in node]
        if recited:
            self._withhold(min(recited))
        else:
            self._release(min((start for start, _ in begun), default=len(self._held)))

    def _withhold(self, start: int) -> None:
        self._out += [self._held[:start], WITHHELD]
        self._held, self._begun, self._over = "", [], True

    def _release(self, size: int) -> None:
        self._out.append(self._held[:size])
        self._held = self._held[size:]
        self._begun = [(start - size, node) for start, node in self._begun]
