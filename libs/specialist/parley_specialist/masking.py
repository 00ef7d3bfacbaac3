"""Numbers that open somebody's money are not for models and logs: cards, bank accounts, security codes. Pure.

A card is known by its check digit and by its issuer's first digits (ISO/IEC 7812-1), so that a device's number is none;
an account by its own check digits (ISO 13616, mod 97-10).
"""

from __future__ import annotations

import itertools
import re
import unicodedata

# What people write between groups of digits, and what nobody sees.
_GAP = "[\\s.,/_|*\u00b7\u2010-\u2015\u2212\u00ad\u200b-\u200f\u2060\ufeff-]{0,4}"
_DIGITS = re.compile(rf"(?<![\d+])\d(?:{_GAP}\d){{12,}}(?!\d)")
_GROUP = re.compile(r"\d+")
_DIGIT = re.compile(r"\d")
# In every code, and in every account's number the two that check the rest; most texts have none.
_PAIR = re.compile(r"\d\d")
# Not regardless of case: that would let letters in that are no base 36, such as the Turkish İ.
_ACCOUNT = re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}\b")
_CODE = re.compile(
    r"\b(cvv2?|cvc2?|cvn|csc|security code|pin|passcode)"
    r"((?:'s|\s+code|\s+number|\s+is|\s+was)*\s*(?:[:=-]\s*)?)(\d{3,8})\b",
    re.IGNORECASE,
)
_SHORTEST_CARD, _LONGEST_CARD = 13, 19
_SHORTEST_GROUP = 3
# Visa, Mastercard, Amex, Diners, Discover, JCB, UnionPay, Maestro: by how many digits there are.
_ISSUERS = {13: "4|50", 14: "3[0689]|5", 15: "3[47]|5", 16: "[2-6]", 17: "5|6", 18: "5|6", 19: "[4-6]"}


def masked(text: str) -> str:
    """`text` with the last four digits of each card and account number, and no digit of a security code."""
    if _PAIR.search(text):
        text = _CODE.sub(lambda found: f"{found[1]}{found[2]}•••", text)
        text = _ACCOUNT.sub(lambda found: _account(found[0]), text)
    if len(_DIGIT.findall(text)) < _SHORTEST_CARD:
        return text
    return _DIGITS.sub(lambda found: _cards(found[0]), text)


def _cards(run: str) -> str:
    """A run of digits in groups: the longest card that begins at each group is masked, what is no card stays."""
    groups = list(_GROUP.finditer(run))
    shown, at, index = "", 0, 0
    while index < len(groups):
        last = _card_from(groups, index)
        if last is None:
            index += 1
            continue
        number = "".join(group[0] for group in groups[index : last + 1])
        shown += f"{run[at : groups[index].start()]}•••• {number[-4:]}"
        at, index = groups[last].end(), last + 1
    return shown + run[at:]


def _card_from(groups: list[re.Match[str]], first: int) -> int | None:
    """The last group of the longest card that begins with group `first`; nobody looks further than a card is long."""
    sizes = itertools.accumulate(len(group[0]) for group in groups[first : first + _LONGEST_CARD])
    ends = [first + count for count, size in enumerate(sizes) if _SHORTEST_CARD <= size <= _LONGEST_CARD]
    found = (last for last in reversed(ends) if _is_card([group[0] for group in groups[first : last + 1]]))
    return next(found, None)


def _is_card(groups: list[str]) -> bool:
    sizes = [len(group) for group in groups]
    fits = _SHORTEST_CARD <= sum(sizes) <= _LONGEST_CARD and _written_as_one(sizes)
    number = _in_ascii("".join(groups))
    return fits and bool(re.match(_ISSUERS[len(number)], number)) and _is_luhn(number)


def _in_ascii(number: str) -> str:
    """People write digits in other scripts as well, and full width."""
    return number if number.isascii() else "".join(str(unicodedata.digit(char)) for char in number)


def _written_as_one(sizes: list[int]) -> bool:
    """False for dates in a row and the like: the groups of a card are long, or all alike."""
    return min(sizes) >= _SHORTEST_GROUP or len(set(sizes)) == 1


def _is_luhn(number: str) -> bool:
    digits = [int(char) for char in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return any(digits) and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _account(run: str) -> str:
    """The account number at the beginning of `run`, masked; words in capitals may follow it."""
    for end in range(len(run), 14, -1):
        number = re.sub(r"[ -]", "", run[:end]).upper()
        rest = run[end:]
        if len(number) >= 15 and (not rest or rest[0] in " -") and _is_account(number):
            return f"{number[:2]}•••• {number[-4:]}{rest}"
    return run


def _is_account(number: str) -> bool:
    moved = number[4:] + number[:4]
    return int("".join(str(int(char, 36)) for char in moved)) % 97 == 1
