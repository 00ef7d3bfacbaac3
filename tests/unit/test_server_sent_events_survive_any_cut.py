"""The decoder sees the same events however the network cuts the bytes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_llm_gateway.sse import Decoder, Event, TooLong

_TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n"), max_size=12)
_LINE = st.one_of(
    _TEXT.map(lambda text: f"data: {text}"),
    _TEXT.map(lambda text: f"data:{text}"),
    _TEXT.map(lambda text: f": {text}"),
    st.sampled_from(["event: delta", "event:", "id: 7", "retry: 10", "data", "unknown: x", "", ""]),
)
_LINES = st.lists(st.tuples(_LINE, st.sampled_from(["\n", "\r", "\r\n"])), max_size=14)
_STREAMS = _LINES.map(lambda lines: "".join(line + end for line, end in lines))


def _by_the_book(stream: str) -> list[Event]:
    """The standard's own words, on a whole text."""
    events: list[Event] = []
    data: list[str] = []
    name = ""
    for line in re.split(r"\r\n|\n|\r", stream)[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            events.append(Event("\n".join(data), name))
        if not line:
            data, name = [], ""
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return events


def _decoded(pieces: list[bytes]) -> list[Event]:
    decoder = Decoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


@given(_STREAMS, st.data())
def test_every_cut_gives_what_the_standard_says(stream: str, data: st.DataObject) -> None:
    raw = stream.encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert _decoded(pieces) == _by_the_book(stream)


@given(_STREAMS)
def test_single_bytes_give_what_the_standard_says(stream: str) -> None:
    raw = stream.encode()
    assert _decoded([raw[index : index + 1] for index in range(len(raw))]) == _by_the_book(stream)


@given(st.lists(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r"), min_size=1), max_size=5))
def test_what_was_encoded_comes_back(texts: list[str]) -> None:
    stream = "".join("".join(f"data: {line}\n" for line in text.split("\n")) + "\n" for text in texts)
    assert [event.data for event in _decoded([stream.encode()])] == texts


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert _decoded([b"\xef\xbb", b"\xbfdata: a\n\n"]) == [Event("a")]


def test_a_character_may_be_cut_in_two() -> None:
    raw = "data: grüße\n\n".encode()
    assert _decoded([raw[:9], raw[9:]]) == [Event("grüße")]


def test_the_last_event_counts_without_its_empty_line_but_half_a_line_does_not() -> None:
    decoder = Decoder()
    assert decoder.feed(b"data: whole\ndata: hal") == []
    assert decoder.end() == [Event("whole")]
    assert decoder.end() == []


def test_an_event_without_end_is_refused_in_pieces_and_at_once() -> None:
    for size in (1, 10, 1000):
        with pytest.raises(TooLong):
            _fed(b"x" * size, 2000 // size)
    with pytest.raises(TooLong):
        _fed(b"data: more and more\n", 100)


def _fed(piece: bytes, times: int) -> None:
    decoder = Decoder(limit=100)
    for _ in range(times):
        decoder.feed(piece)


def test_many_small_events_in_one_block_are_no_long_event() -> None:
    assert len(Decoder(limit=100).feed(b"data: x\n\n" * 1000)) == 1000
