"""Labelled messages from JSON lines: one message a line, or a dialogue a line whose turns have intents."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from parley_proto.errors import PermanentError

TEXT_FIELDS = ("text", "message", "utterance", "query", "question")
LABEL_FIELDS = ("label", "intent", "specialty", "category")
OUTSIDE = ("oos", "none")
SPECIALTY = "specialty"
MAP = "specialty_map.json"
_LONGEST = 16_384
_FIRST_TURNS = 14
# Turns that only give details are most of a dialogue, and all alike: a sample is enough.
_DETAILS = {"contentonly", "confirmation", "rejection"}
_DETAILS_SHARE = 0.06
_GREETINGS = {"openinggreeting", "closinggreeting", "thankyou"}
_STRANGERS = {"outofdomain"}


class Row(NamedTuple):
    """A message, its label and the finer intent that it was labelled with."""

    text: str
    label: str
    intent: str


class Fields(NamedTuple):
    """Which fields hold the text and the label; "" to find out."""

    text: str = ""
    label: str = ""


ANY = Fields()


class Read(NamedTuple):
    """The rows, the fields they came from, and what was refused: one sentence each, with its line."""

    rows: list[Row]
    fields: Fields
    refused: list[str]


class _BadRow(Exception):
    """Why a line can't be used."""


def read(path: Path, fields: Fields = ANY) -> Read:
    """All rows of `path`; of the turns of dialogues equal texts once. PermanentError where nothing can be used."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise PermanentError(f"{path} can't be read: {error.strerror or error}.", code="bad_file") from error
    mapping = _mapping(path)
    rows: list[Row] = []
    refused: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            body = _body(line)
            fields = _found(body, fields)
            rows += _rows(body, fields, mapping)
        except _BadRow as error:
            refused.append(f"{path.name} line {number}: {error}.")
    if not rows:
        nothing = "no turn of it says what it is about" if fields.text else "it is empty"
        reason = refused[0] if refused else f"{path}: {nothing}."
        raise PermanentError(f"No message could be read: {reason}", code="bad_file")
    return Read(_once(rows) if fields.text == "turns" else rows, fields, refused)


def _once(rows: Sequence[Row]) -> list[Row]:
    """People say hello in the same words in every dialogue."""
    return list({key(row.text): row for row in reversed(rows)}.values())[::-1]


def key(text: str) -> str:
    """The same for texts that differ in case and spaces only."""
    return " ".join(text.lower().split())


def gist(text: str) -> str:
    """The same for texts that differ in case, spaces, punctuation and numbers only."""
    return " ".join(re.findall(r"\w+", re.sub(r"\d+", "0", text.lower()))) or key(text)


def digest(text: str) -> int:
    """A number of 64 bits that is the same for texts of one gist, on every machine."""
    return int.from_bytes(hashlib.sha256(gist(text).encode("utf-8", "surrogatepass")).digest()[:8], "big")


def _body(line: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _BadRow(f"it is not JSON ({error})") from error
    except RecursionError as error:
        raise _BadRow("it is nested too deeply") from error
    if not isinstance(body, dict):
        raise _BadRow("it is not a JSON object")
    return body


def _found(body: Mapping[str, Any], fields: Fields) -> Fields:
    """The first line with known names settles the fields for the file."""
    if fields.text and fields.label:
        return fields
    if "turns" in body:
        return Fields("turns", fields.label or "intent")
    text = fields.text or next((name for name in TEXT_FIELDS if name in body), "")
    label = fields.label or next((name for name in LABEL_FIELDS if name in body), "")
    if not text or not label:
        kind, names, option = ("text", TEXT_FIELDS, "--text-field") if not text else ("label", LABEL_FIELDS, "--labels")
        raise _BadRow(f"it has no field for the {kind} (one of {', '.join(names)}; or {option})")
    return Fields(text, label)


def _rows(body: Mapping[str, Any], fields: Fields, mapping: Mapping[str, str]) -> Iterator[Row]:
    if fields.text == "turns":
        yield from _turns(body, fields, mapping)
        return
    text, label = _sound(body.get(fields.text), fields.text), _sound(body.get(fields.label), fields.label)
    intent = next((body[name] for name in LABEL_FIELDS if isinstance(body.get(name), str)), label)
    yield Row(text, label, intent)


def _turns(body: Mapping[str, Any], fields: Fields, mapping: Mapping[str, str]) -> Iterator[Row]:
    """The first turns of a dialogue: those whose intent says what they are about."""
    turns = body.get("turns")
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise _BadRow("its turns are not a list of objects")
    labelled = [turn for turn in turns if isinstance(turn.get("intent"), str) and isinstance(turn.get("text"), str)]
    if not labelled:
        raise _BadRow("none of its turns has a text and an intent")
    for turn in labelled[:_FIRST_TURNS]:
        text, intent = turn["text"], turn["intent"]
        specialty = mapping.get(intent) or ("none" if _small(text, intent) else "")
        label = specialty if fields.label == SPECIALTY else intent
        if label and text.strip() and _early(turn.get("n", 0)):
            yield Row(text, label, intent)


def _early(number: Any) -> bool:
    return isinstance(number, int) and number <= _FIRST_TURNS


def _small(text: str, intent: str) -> bool:
    """Greetings, a yes, a no, names and numbers belong to nobody."""
    if intent in _DETAILS:
        return digest(text) % 256 < 256 * _DETAILS_SHARE
    return intent in _STRANGERS or (intent in _GREETINGS and len(text.split()) <= 4)


def _sound(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _BadRow(f"its {field} is missing or no text")
    if len(value) > _LONGEST:
        raise _BadRow(f"its {field} has {len(value):,} characters, {_LONGEST:,} are the most")
    return value


def _mapping(path: Path) -> dict[str, str]:
    """From intents to specialties: `specialty_map.json` beside the file, under the first part of the file's name."""
    beside = path.with_name(MAP)
    if not beside.is_file():
        return {}
    try:
        known = msgspec.json.decode(beside.read_bytes(), type=dict[str, dict[str, str]])
    except (msgspec.DecodeError, OSError) as error:
        raise PermanentError(f"{beside} can't be read: {error}.", code="bad_file") from error
    return known.get(path.stem.partition("_")[0], {})
