"""HTML pages: what a reader sees of them, as Markdown. Pure."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup, Tag
from bs4.element import PreformattedString
from markdownify import ATX, MarkdownConverter

from parley_rag.reading.fields import Said, documents_of, language_tag
from parley_rag.reading.kinds import identity
from parley_rag.reading.markdown import title_of
from parley_rag.reading.outcome import Defaults, Reading, Unreadable
from parley_rag.reading.text import HALF_WRITTEN, decoded, one_line

# What is not part of what a page says, and what is no text.
_AROUND = ("nav", "footer", "aside", "form", "button", "input", "select", "textarea")
_NOT_TEXT = ("script", "style", "template", "noscript", "iframe", "object", "embed", "svg", "canvas", "audio", "video")
_DROPPED = frozenset((*_AROUND, *_NOT_TEXT))
_DROPPED_ROLES = frozenset(("navigation", "search", "contentinfo"))
# Text that nobody sees is a way to smuggle instructions in.
_HIDING = re.compile(
    r"display:none|visibility:(?:hidden|collapse)|opacity:0(?:\.0*)?(?:[;!%]|$)|font-size:0(?:\.0*)?(?:[a-z%;!]|$)"
    r"|color:transparent|(?:text-indent|left|top):-\d{3,}"
)
_NOT_IN_STYLE = re.compile(r"/\*.*?\*/|\s", re.DOTALL)
_LONGEST_STYLE = 2_000
_CHARSET = re.compile(
    rb"<meta[^>]{0,200}charset=[\"']?\s*"
    rb"(utf-?8|iso-8859-\d+|windows-125\d|shift_jis|euc-jp|euc-kr|gb2312|gbk|gb18030|big5|koi8-[ru])\b",
    re.IGNORECASE,
)
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_OPEN_TAG = re.compile(r"<[A-Za-z/!][^>]*\Z")
_BLANK_LINES = re.compile(r"[ \t]*\n(?:[ \t]*\n)+")
_CONVERTER = MarkdownConverter(
    heading_style=ATX, bullets="-", strip=["a", "img"], escape_asterisks=False, escape_underscores=False
)


def read_html(name: str, content: bytes, defaults: Defaults) -> Reading:
    """The page as one document: headings are sections, links their text; what is hidden or only serves to move about
    is left out. Unreadable for a page without text, or one that ends inside a tag.
    """
    text = decoded(content, _declared(content))
    if _OPEN_TAG.search(text, max(text.rfind("<"), 0)) or "<!--" in text[text.rfind("-->") + 1 :]:
        raise Unreadable(HALF_WRITTEN)
    soup = BeautifulSoup(text, "html.parser")
    language = soup.html.get("lang") if soup.html else None
    title = one_line(soup.title.get_text()) if soup.title else ""
    access = _access(soup)
    _drop_unseen(soup)
    root = _root(soup)
    heading = _first_heading(root)
    title = title or heading or title_of(name)
    _level_headings(root, title)
    body = _BLANK_LINES.sub("\n\n", _CONVERTER.convert_soup(root)).strip() or heading
    if not body:
        raise Unreadable("it has no text that a reader would see")
    said = Said(title=title, language=language_tag(str(language or "")), access=access)
    return Reading(documents_of(identity(name), body, said, defaults, name), [])


def _access(soup: BeautifulSoup) -> str | None:
    """Who may read the page, where it says so in its head."""
    named = soup.find_all("meta", attrs={"name": re.compile(r"\A\s*access\s*\Z", re.IGNORECASE)})
    said = {str(tag.get("content", "")).strip() for tag in named}
    return None if not said else said.pop() if len(said) == 1 else ""


def _declared(content: bytes) -> str:
    found = _CHARSET.search(content[:4_096])
    return found.group(1).decode().lower() if found else ""


def _drop_unseen(soup: BeautifulSoup) -> None:
    for node in soup.find_all(string=lambda text: isinstance(text, PreformattedString)):
        node.extract()
    for tag in soup.find_all(_is_unseen):
        tag.extract()


def _is_unseen(tag: Tag) -> bool:
    if tag.name in _DROPPED or "hidden" in tag.attrs or (tag.name == "dialog" and "open" not in tag.attrs):
        return True
    if str(tag.get("aria-hidden", "")).lower() == "true" or str(tag.get("role", "")).lower() in _DROPPED_ROLES:
        return True
    return _hides(str(tag.get("style", "")))


def _hides(style: str) -> bool:
    """Whether a style makes text unseen; one that is very long is not written to be read either."""
    return len(style) > _LONGEST_STYLE or bool(_HIDING.search(_NOT_IN_STYLE.sub("", style.lower())))


def _root(soup: BeautifulSoup) -> Tag:
    """What the page marks as its main part, where it does; the whole page where that is empty."""
    if soup.head:
        soup.head.extract()
    main = soup.select_one("main, [role='main' i]")
    return main if main and main.get_text(strip=True) else soup


def _first_heading(root: Tag) -> str:
    found = root.find("h1")
    return one_line(found.get_text()) if found else ""


def _level_headings(root: Tag, title: str) -> None:
    """Make the upper headings `## `, which sections start at, and the others `### `; the title is not repeated."""
    headings = [heading for heading in root.find_all(_HEADINGS) if heading.get_text(strip=True)]
    if headings and headings[0].name == "h1" and one_line(headings[0].get_text()) in title:
        headings.pop(0).extract()
    upper = max("h2", min((heading.name for heading in headings), default="h2"))
    for heading in headings:
        heading.name = "h2" if heading.name <= upper else "h3"
