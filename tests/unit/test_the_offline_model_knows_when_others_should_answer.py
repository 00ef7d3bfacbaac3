"""People on request, other specialties on the router's word, and nobody twice."""

from __future__ import annotations

import pytest
from offline_situations import ESCALATE, PASSAGES, ok, say

_TECHNICAL = 'Router: {"specialty": "technical", "confidence": 0.93}'


@pytest.mark.parametrize(
    "text",
    [
        "I want to talk to a human",
        "can i speak to a real person please",
        "connect me with an agent",
        "Put me through to your manager!",
        "human",
        "live agent please",
        "call me back",
        "I don't want to talk to a bot",
        "how do I contact customer service",
        "I need to chat with someone",
        "get me a supervisor",
        "transfer me to a representative",
        "Is there a person?",
        "is a person there?",
    ],
)
def test_who_asks_for_a_person_gets_one(text: str) -> None:
    said = say(text, passages=PASSAGES)
    assert (said.tool, said.arguments["urgency"]) == ("escalate", "normal")
    assert text.strip("!?. ") in said.arguments["reason"]


@pytest.mark.parametrize(
    ("text", "urgency"),
    [
        ("I want to make a complaint", "high"),
        ("This is ridiculous, I write for the third time!!", "high"),
        ("your service is terrible service", "high"),
        ("My lawyer will hear of this, I will sue you", "high"),
        ("this is unacceptable", "high"),
        ("the charger caught fire", "critical"),
        ("There is smoke coming out of the TV and I got an electric shock", "critical"),
    ],
)
def test_anger_and_danger_go_to_people(text: str, urgency: str) -> None:
    said = say(text, passages=PASSAGES)
    assert (said.tool, said.arguments["urgency"]) == ("escalate", urgency)


@pytest.mark.parametrize(
    "text",
    [
        "I do not want to talk to a person, where is my refund",
        "when is customer service open",
        "what is your phone number",
        "I paid someone by mistake, where is my refund",
        "I tried it for the first time today, where is my refund",
    ],
)
def test_who_only_mentions_people_does_not(text: str) -> None:
    assert say(text, passages=PASSAGES).tool != "escalate"


def test_the_urgency_is_one_that_the_tool_knows() -> None:
    schema = {"type": "object", "properties": {"urgency": {"type": "string", "enum": ["low", "normal"]}}}
    mild = type(ESCALATE)("escalate", "People.", schema)
    assert say("the charger caught fire", tools=[mild]).arguments["urgency"] == "normal"


def test_without_the_tool_nobody_is_promised() -> None:
    assert say("human please", tools=[]).text == "I can't bring in a person from here."
    assert say("human please", "escalation").tool == "open_ticket"
    assert say("this is unacceptable!", "escalation").tool == "open_ticket"


_OFFERED = ("why is my bill higher than last month?", "I can't find that. Would you like me to bring in a person?")


@pytest.mark.parametrize("yes", ["yes", "Yes please", "yes please, thanks", "ok do that"])
def test_the_yes_to_a_person_brings_one_with_what_it_is_about(yes: str) -> None:
    asked = say(yes, passages=PASSAGES, window=_OFFERED)
    assert asked.tool == "escalate" and "why is my bill higher" in asked.arguments["reason"]
    # The same words, as the specialty hears them that takes the conversation over.
    opened = say(yes, "escalation", window=_OFFERED)
    assert opened.tool == "open_ticket" and "why is my bill higher" in opened.arguments["subject"]


@pytest.mark.parametrize("answer", ["no", "no thanks", "maybe later"])
def test_without_a_yes_nobody_comes(answer: str) -> None:
    assert say(answer, passages=PASSAGES, window=_OFFERED).tool != "escalate"
    assert say(answer, "escalation", window=_OFFERED).tool != "open_ticket"


def test_the_matter_is_the_last_thing_that_was_more_than_a_yes() -> None:
    window = [_OFFERED[0], "Is it about your router?", "yes", _OFFERED[1]]
    assert "why is my bill higher" in say("yes", "escalation", window=window).arguments["subject"]


def test_the_routers_sure_word_moves_the_conversation() -> None:
    said = say("my wifi drops all the time", facts=[_TECHNICAL])
    assert (said.tool, said.arguments["to"]) == ("handoff", "technical")
    assert "my wifi drops all the time" in said.arguments["reason"]


@pytest.mark.parametrize(
    "facts",
    [
        ['Router: {"specialty": "technical", "confidence": 0.74}'],
        ['Router: {"specialty": "billing", "confidence": 0.99}'],
        ['Router: {"specialty": "gardening", "confidence": 0.99}'],
        ['Router: {"specialty": "technical"}'],
        ["Router: technical"],
        [_TECHNICAL, 'Handed over from technical: {"reason": "not ours"}'],
    ],
)
def test_otherwise_it_stays(facts: list[str]) -> None:
    assert say("where is my refund", facts=facts).tool == "refund_status"


def test_a_short_follow_up_stays() -> None:
    window = ["where is my refund", "It was sent on Monday."]
    assert say("and when?", facts=[_TECHNICAL], window=window).tool != "handoff"
    assert say("why is that?", facts=[_TECHNICAL], window=window).tool != "handoff"
    assert say("Why not? My card is valid", facts=[_TECHNICAL], window=window).tool != "handoff"
    assert say("why was it sent back to my bank?", facts=[_TECHNICAL], window=window).tool != "handoff"


def test_a_question_that_names_what_it_is_about_is_no_follow_up() -> None:
    window = ["I was charged twice", "One of the charges was sent back on Monday."]
    for question in ("where is my tablet?", "why does our tablet not connect", "When will my router be fixed?"):
        said = say(question, facts=[_TECHNICAL], window=window)
        assert (said.tool, said.arguments["to"]) == ("handoff", "technical")


def test_no_handoff_without_the_tool() -> None:
    assert say("my wifi drops all the time", facts=[_TECHNICAL], tools=[ESCALATE]).tool == ""


def test_what_only_anothers_words_fit_is_handed_over() -> None:
    said = say("My router is broken", passages=PASSAGES)
    assert (said.tool, said.arguments["to"]) == ("handoff", "technical")
    back = ['Handed over from technical: {"reason": "not ours"}']
    assert say("My router is broken", passages=PASSAGES, facts=back).tool == ""


def test_a_handoff_that_failed_is_not_repeated() -> None:
    refused = {"ok": False, "error": {"code": "no_such_specialty", "message": "There is no such specialty."}}
    done = ("handoff", {"to": "technical", "reason": "x"}, refused)
    assert say("my wifi drops all the time", facts=[_TECHNICAL], results=[done]).tool == ""


def test_an_escalation_is_told_with_what_the_tool_says() -> None:
    done = ("escalate", {"urgency": "normal", "reason": "x"}, ok("A person will answer you in about 4 minutes."))
    assert say("I want a human", results=[done]).text == "A person will answer you in about 4 minutes."
