"""Whether a customer said yes: decided here and by rule, because a model's word for it is no authority. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

# A yes wherever it stands, one that is it only as the first word, and one that is it only where nothing follows that it
# could belong to: 'absolutely' agrees, 'absolutely ridiculous' does not, and 'das ist ja furchtbar' even less.
_FIRM = r"yes|yeah|yep|yup|i (?:do )?(?:agree|confirm)|please (?:do|proceed)|go ahead|go for it|oui|d'accord|نعم|أجل"
_FIRST = rf"{_FIRM}|proceed|confirmed|jawohl|sí"
_ALONE = r"certainly|absolutely|definitely|of course|agreed|confirm|ja|gerne|volontiers|si|vale|claro"
_SOFT = (
    r"ok|okay|sure|correct|do (?:it|so|that)|sounds good|that works|fine|alright|all right|please|bitte|por favor|"
    r"great|perfect|thanks|thank you"
)
_YES = re.compile(rf"\b(?:{_FIRST}|{_SOFT})(?!\w)", re.IGNORECASE)
_SAYS_YES = re.compile(rf"\b(?:{_FIRM})(?!\w)", re.IGNORECASE)
_BEGINS = re.compile(
    rf"\W*(?:(?:{_SOFT}|oh|ah|well|hmm+|and)\W+)*"
    rf"(?:(?:{_FIRST})(?!\w)|(?:{_ALONE})(?:\W*$|\s*[,.;:!–—]|\s+(?:{_FIRST}|{_ALONE}|{_SOFT})(?!\w)))",
    re.IGNORECASE,
)
_THANKS = re.compile(r"\b(?:great|perfect|thanks|thank you)(?!\w)", re.IGNORECASE)
_WISH = re.compile(r"\bi(?:'d| would)? (?:like|want|love)(?: you)?(?: to)?\b", re.IGNORECASE)
_NO = re.compile(
    r"\b(no|nope|nah|not|never|don'?t|do not|won'?t|stop|wait|hold on|instead|rather|"
    r"cancel that|leave it|changed my mind|nein|nicht|kein\w*|non|pas|jamais|nunca|لا|"
    # What comes first, or what it hangs on.
    r"but|before|until|unless|if|first|aber|bevor|erst|falls|wenn|mais|avant|pero|antes)(?!\w)",
    re.IGNORECASE,
)
# 'Please refund it' takes up the offer; 'please tell me when you open' speaks of something else.
_FEW_WORDS = 3


def agrees(messages: Sequence[str]) -> bool:
    """True for a clear yes in the newest words and no doubt in any; asking once more costs less than a wrong refund."""
    said = [text.replace("’", "'") for text in messages]
    # "no problem, do it" and the like are a yes that begins with a no.
    plain = [re.sub(r"\b(no (problem|worries|doubt)|why not)\b", "", text, flags=re.IGNORECASE) for text in said]
    return bool(plain) and _says_yes(plain[-1]) and not any(_NO.search(text) for text in plain)


def _says_yes(text: str) -> bool:
    """A firm yes counts anywhere, in front of a question only at the beginning; a polite word only by itself."""
    if _BEGINS.match(text):
        return True
    if "?" in text or "؟" in text:
        return False
    polite = _YES.search(_THANKS.sub(" ", text))
    others = re.findall(r"[\w']+", _YES.sub(" ", _WISH.sub(" ", text)))
    return bool(_SAYS_YES.search(text)) or bool(polite and len(others) <= _FEW_WORDS)
