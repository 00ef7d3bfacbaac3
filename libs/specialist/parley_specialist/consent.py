"""Whether a customer said yes: decided here and by rule, because a model's word for it is no authority. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_YES = re.compile(
    r"\b(yes|yeah|yep|yup|ok|okay|sure|certainly|absolutely|definitely|agreed|correct|confirm(?:ed)?|"
    r"please do|go ahead|go for it|do it|do so|do that|sounds good|that works|fine|alright|all right|of course|"
    r"please|proceed|ja|jawohl|gerne|bitte|oui|d'accord|volontiers|s[ií]|vale|claro|por favor|نعم|أجل)(?!\w)",
    re.IGNORECASE,
)
_NO = re.compile(
    r"\b(no|nope|nah|not|never|don'?t|do not|won'?t|stop|wait|hold on|instead|rather|"
    r"cancel that|leave it|changed my mind|nein|nicht|kein\w*|non|pas|jamais|nunca|لا)(?!\w)",
    re.IGNORECASE,
)


def agrees(messages: Sequence[str]) -> bool:
    """True for a clear yes in the newest words and no doubt in any; asking once more costs less than a wrong refund."""
    said = [text.replace("’", "'") for text in messages]
    # "no problem, do it" and the like are a yes that begins with a no.
    plain = [re.sub(r"\b(no (problem|worries|doubt)|why not)\b", "", text, flags=re.IGNORECASE) for text in said]
    return bool(plain) and bool(_YES.search(plain[-1])) and not any(_NO.search(text) for text in plain)
