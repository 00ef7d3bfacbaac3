"""What a customer's words must be for a side effect: asking once more costs less than a refund that nobody wanted."""

from __future__ import annotations

import pytest

from parley_specialist.consent import agrees


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "Yes please. When is it there?",
        "yes, refund it to my card",
        "Thanks, yes",
        "no problem, yes",
        "ok",
        "please refund it",
        "do it",
        "Sure, go ahead",
        "I confirm the refund",
        "Confirm",
        "please proceed",
        "Proceed with the refund",
        "Agreed.",
        "Absolutely!",
        "Certainly, thanks",
        "definitely yes",
        "ja bitte",
        "Ja, gerne",
        "Gerne!",
        "oui",
        "sí, por favor",
        "si",
        "Vale, hazlo",
        "Claro que sí",
        "نعم",
    ],
)
def test_a_yes_is_a_yes(text: str) -> None:
    assert agrees([text])


@pytest.mark.parametrize(
    "text",
    [
        "Could you please tell me when you open?",
        "please tell me about the home trial",
        "ok what are your hours?",
        "thanks, and what about my router",
        "that's fine, but is my TV covered by the warranty",
        "Yes but what is the fee",
        "yes, but wait",
        "no",
    ],
)
def test_politeness_in_another_matter_is_no_yes(text: str) -> None:
    assert not agrees([text])


@pytest.mark.parametrize(
    "text",
    [
        "Let me confirm with my wife",
        "I want to confirm the amount",
        "confirm the amount first",
        "Can I confirm later?",
        "Before we proceed, tell me the fee",
        "how do I proceed?",
        "I am certainly unhappy",
        "Absolutely ridiculous!",
        "definitely a mistake on your side",
        "Of course you would say that",
        "we agreed on 50 euros last week",
        "Ich hätte gerne mehr Infos",
        "Das ist ja furchtbar",
        "si cuesta algo, avísame",
        "claro que no",
    ],
)
def test_a_word_that_only_sounds_like_a_yes_is_none(text: str) -> None:
    assert not agrees([text])


@pytest.mark.parametrize("text", ["yes, if it is free", "go ahead unless it costs more", "yes, aber erst morgen"])
def test_a_yes_on_a_condition_is_asked_about_again(text: str) -> None:
    assert not agrees([text])
