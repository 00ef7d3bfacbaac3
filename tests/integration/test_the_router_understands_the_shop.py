from __future__ import annotations

import json

import pytest
from rag_service import shared

from parley_conversation.routing import Router
from parley_embedding.minilm import MiniLM
from parley_testkit.requirements import project_root

pytest_plugins = ("rag_fixtures",)

# None of these is an example that the head was trained on (a test below holds that).
MESSAGES = {
    "billing": [
        "I see two payments for the same order on my statement",
        "What is this 3 pound fee for?",
        "could you email me the invoice for my TV",
        "can I pay the laptop off monthly",
        "the voucher wasn't deducted from the total",
        "why is my bill so high this time",
        "payment is still pending, when does it go through",
        "you charged me for Plus but I never signed up",
    ],
    "technical": [
        "my internet goes down every evening",
        "the router light blinks orange, what does it mean",
        "speaker doesn't connect to my phone any more",
        "tv has sound but no picture",
        "my handset keeps restarting",
        "the app closes as soon as I log in",
        "how do I update the software on my reader",
        "can't get a wifi signal upstairs",
    ],
    "account": [
        "I need a new password",
        "please update my mobile number",
        "how can I delete my profile",
        "I'm locked out of my account",
        "didn't get the email to confirm my registration",
        "I want to end my Plus membership",
        "unsubscribe me from your emails",
        "I'd like to order a card",
    ],
    "returns": [
        "where's my parcel",
        "Where is order ORD-1077?",
        "I want to return the headphones I bought last week",
        "when do I get my refund",
        "please cancel order 20391",
        "it's the wrong colour, can I exchange it",
        "the courier marked it as delivered but it isn't here",
        "Can my order come a day later?",
    ],
    "escalation": [
        "get me a human being",
        "I'd like to make an official complaint",
        "there's a transaction on my card that I didn't make",
        "my purse got stolen with my card inside",
        "nobody has called me back, I've had enough",
        "can I talk to your supervisor",
        "I think someone got into my account",
        "I want to speak to a real person please",
    ],
    "": [
        "hello there",
        "thanks a lot",
        "zxcvb nmlkj",
        "what's the weather like in Paris",
        "sing me a song",
        "yes that's right",
        "good bye",
        "how long do I boil an egg",
        "ORD-1077",
    ],
}


@pytest.fixture(scope="session")
def router() -> Router:
    return Router.load()


def wrong(router: Router, model: MiniLM, messages: dict[str, list[str]]) -> list[str]:
    """The messages that were sent to a specialty that is not theirs."""
    return [
        f"{text!r} was sent to {hint.specialty}"
        for specialty, texts in messages.items()
        for text, vector in zip(texts, model.encode(texts), strict=True)
        if (hint := router.route(vector.tobytes(), text)).specialty not in (specialty, "")
    ]


@pytest.mark.parametrize("specialty", list(MESSAGES))
def test_what_customers_write_reaches_its_specialty(router: Router, model: MiniLM, specialty: str) -> None:
    texts = MESSAGES[specialty]
    assert wrong(router, model, {specialty: texts}) == []
    named = [
        router.route(vector.tobytes(), text).specialty for text, vector in zip(texts, model.encode(texts), strict=True)
    ]
    assert named.count(specialty) >= len(texts) - 1


def test_none_of_these_messages_was_trained_on() -> None:
    lines = (project_root() / "libs/routing/parley_routing/seed_examples.jsonl").read_text("utf-8").splitlines()
    seeds = [json.loads(line) for line in lines]
    assert len(seeds) >= 250
    assert not {seed["text"].lower() for seed in seeds} & {text.lower() for one in MESSAGES.values() for text in one}


def test_vectors_in_whole_numbers_reach_the_same_specialty(router: Router, model: MiniLM, small_model: MiniLM) -> None:
    texts = [text for one in MESSAGES.values() for text in one]
    exact = [
        router.route(vector.tobytes(), text).specialty for text, vector in zip(texts, model.encode(texts), strict=True)
    ]
    rounded = [
        router.route(vector.tobytes(), text).specialty
        for text, vector in zip(texts, small_model.encode(texts), strict=True)
    ]
    assert sum(a != b for a, b in zip(exact, rounded, strict=True)) <= 2


def test_real_queries_of_three_shops_are_understood(router: Router, model: MiniLM) -> None:
    rows = [json.loads(line) for line in shared("hint3.jsonl").read_text("utf-8").splitlines()]
    vectors = model.encode([row["text"] for row in rows])
    hints = [router.route(vector.tobytes(), row["text"]).specialty for row, vector in zip(rows, vectors, strict=True)]
    named = [(hint, row["specialty"]) for hint, row in zip(hints, rows, strict=True) if hint]
    assert sum(hint == truth for hint, truth in named) / len(named) > 0.75
    assert len(named) / len(rows) > 0.35
