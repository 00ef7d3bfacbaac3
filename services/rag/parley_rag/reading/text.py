"""Bytes as clean text: which encoding, what is removed, and what is no text at all. Pure."""

from __future__ import annotations

import codecs
import re

from parley_rag.reading.outcome import Unreadable

# UTF-32 first: its mark starts with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
NEITHER = "it is neither text nor PDF"
HALF_WRITTEN = "it is half-written: send it again"
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Control characters, and those that nobody sees and that only serve to hide or to reorder words: zero-width space and
# no-break space, soft hyphen, word joiner, bidirectional overrides (CVE-2021-42574), tag characters. The zero-width
# joiners stay: Persian and emoji need them.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_CONTROL_BYTES = bytes([*range(0x09), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x7F])
_TOO_MANY = 0.02
_MOSTLY_ASCII = 0.85
_SAMPLE = 100_000


def decoded(content: bytes, declared: str = "") -> str:
    """`content` as clean text with `\\n` line ends; `declared` is the encoding that the file names.

    UTF-8, UTF-16 and UTF-32 with their mark, else `declared`, UTF-8, or Windows-1252 where that gives mostly plain
    text. Unreadable for anything else and for what ends in the middle of a character.
    """
    marked = encoding_mark(content)
    if marked:
        return _sound(_strict(content, marked))
    if looks_binary(content):
        raise Unreadable(NEITHER)
    for encoding in filter(None, (declared, "utf-8")):
        try:
            return cleaned(content.decode(encoding))
        except UnicodeDecodeError as error:
            if encoding == "utf-8" and _is_cut(content, error):
                raise Unreadable(HALF_WRITTEN) from error
    return cleaned(_western(content))


def encoding_mark(content: bytes) -> str:
    """The encoding that a byte order mark names; empty where there is none."""
    return next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "")


def looks_binary(content: bytes) -> bool:
    """Whether more than two bytes of a hundred are control characters: compressed data have ten, UTF-16 fifty."""
    return len(content) - len(content.translate(None, _CONTROL_BYTES)) > _TOO_MANY * len(content)


def cleaned(text: str) -> str:
    """`text` without control and unseen characters, every line end as `\\n`; a lone surrogate becomes U+FFFD."""
    # Most texts have nothing but printable characters, of which none is removed, and this is much faster to see.
    if text.replace("\n", " ").isprintable():
        return text
    return _SURROGATE.sub("\ufffd", _UNSEEN.sub("", _LINE_ENDS.sub("\n", text)))


def one_line(text: str) -> str:
    """`text` cleaned, with single spaces."""
    return " ".join(cleaned(text).split())


def _strict(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        cut = error.end >= len(content)
        raise Unreadable(HALF_WRITTEN if cut else f"it is damaged: it is not the {encoding} it says") from error


def _sound(text: str) -> str:
    """Clean text of a file with a mark; a mark may also be the chance start of something binary."""
    sample = text[:_SAMPLE]
    if sum(not (char.isprintable() or char.isspace()) for char in sample) > _TOO_MANY * len(sample):
        raise Unreadable(NEITHER)
    return cleaned(text)


def _is_cut(content: bytes, error: UnicodeDecodeError) -> bool:
    """Whether UTF-8 ends within a character; one odd byte after plain ASCII is rather another encoding."""
    return error.reason == "unexpected end of data" and not content[: error.start].isascii()


def _western(content: bytes) -> str:
    ascii_only = len(content) - len(content.translate(None, bytes(range(0x80, 0x100))))
    if ascii_only > (1 - _MOSTLY_ASCII) * len(content):
        raise Unreadable(f"{NEITHER} in an encoding that can be told: save it as UTF-8")
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise Unreadable(NEITHER) from error
