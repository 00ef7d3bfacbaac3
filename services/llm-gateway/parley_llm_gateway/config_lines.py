"""Where in a TOML text a table or a key stands, so that a refusal can name its line. Pure."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from parley_proto.errors import SettingsError

T = TypeVar("T")
_AT_LINE = re.compile(r"\(at line (\d+)")
_MEMBER = re.compile(r"`\$\.?([^`]*)`")
_UNKNOWN = re.compile(r"unknown field `([^`]+)`")


class Lines:
    """The lines of one file; errors are made here."""

    def __init__(self, text: str, path: str) -> None:
        self._lines = text.splitlines()
        self._path = path

    def table(self, table: Any, kind: type[T], at: tuple[str, ...]) -> T:
        """`table` as `kind`. SettingsError with the line of what does not fit."""
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            raise self._unfit(error, kind, at) from error

    def error(self, at: tuple[str, ...], text: str) -> SettingsError:
        shown = f"[{'.'.join(at[:2])}] " if at else ""
        return SettingsError(f"{self._path}:{self.line(at)}: {shown}{text}.")

    def unreadable(self, error: tomllib.TOMLDecodeError) -> SettingsError:
        found = _AT_LINE.search(str(error))
        return SettingsError(f"{self._path}:{found[1] if found else len(self._lines)}: this is no TOML: {error}.")

    def unknown(self, kind: str, name: str, known: Iterable[str]) -> str:
        names = sorted(known)
        close = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there is {', '.join(names) or 'none'}"
        return f"there is no {kind} {name!r}; {hint.rstrip('?')}"

    def line(self, at: tuple[str, ...]) -> int:
        """The line of the key, or of its table, or 1; counted from 1."""
        header = self._header(at)
        if len(at) < 2 and header:
            return header
        key = at[-1] if at else ""
        pattern = re.compile(rf"""^\s*["']?{re.escape(key)}["']?\s*[=.]""")
        for number in range(header, len(self._lines)):
            if number > header and self._lines[number].lstrip().startswith("["):
                break
            if key and pattern.match(self._lines[number]):
                return number + 1
        return header or 1

    def _header(self, at: tuple[str, ...]) -> int:
        """The line of the table's header; for a list of tables the second name is its number."""
        if not at:
            return 0
        if len(at) > 1 and at[1].isdigit():
            return self._nth(rf"^\s*\[\[\s*{re.escape(at[0])}\s*\]\]", int(at[1]))
        name = rf"""["']?{re.escape(at[1])}["']?""" if len(at) > 1 else ""
        whole = rf"^\s*\[\s*{re.escape(at[0])}\s*" + (rf"\.\s*{name}\s*\]" if name else r"\]")
        return self._nth(whole, 0) or (self._nth(rf"^\s*\[\s*{re.escape(at[0])}\s*[\].]", 0) if name else 0)

    def _nth(self, pattern: str, number: int) -> int:
        found = [place for place, line in enumerate(self._lines, 1) if re.match(pattern, line)]
        return found[number] if number < len(found) else 0

    def _unfit(self, error: msgspec.ValidationError, kind: Any, at: tuple[str, ...]) -> SettingsError:
        text = str(error)
        unknown = _UNKNOWN.search(text)
        if unknown:
            known = [field.name for field in msgspec.structs.fields(kind)]
            return self.error((*at, unknown[1]), self.unknown("setting", unknown[1], known))
        member = _MEMBER.search(text)
        key = re.split(r"[.\[]", member[1])[0] if member else ""
        return self.error((*at, key) if key else at, f"{key} is wrong: {text.split(' - ')[0]}".strip())
