"""Whatever the question offers, its own words, the specialty's name and its place in the list lead there."""

from __future__ import annotations

import pytest
from test_a_conversation_is_a_fold_over_its_log import ALL, facts, must

from parley_conversation.asking import TOPICS, choice, question
from parley_proto.specialist import RouteHint
from parley_testkit.samples import customer_message

WITH_OURS = [*ALL, "appointments"]


@pytest.mark.parametrize("name", WITH_OURS)
def test_each_option_is_taken_by_its_words_and_by_its_name(name: str) -> None:
    topic = TOPICS.get(name, name)
    assert topic in question(WITH_OURS)
    assert choice(topic, WITH_OURS) == name
    assert choice(f"It's about {name}, please", WITH_OURS) == name


@pytest.mark.parametrize(
    ("said", "name"),
    [("1", "account"), ("the second one", "billing"), ("the last one", "technical"), ("sign-in", "account")],
)
def test_a_place_in_the_list_or_a_word_of_one_topic_is_enough(said: str, name: str) -> None:
    assert choice(said, ALL) == name


@pytest.mark.parametrize("said", ["", "hm", "7", "0", "a or the", "billing or returns?", "my router " * 10])
def test_what_picks_none_or_several_picks_nothing(said: str) -> None:
    assert choice(said, ALL) == ""


def test_a_choice_leads_there_though_the_router_does_not_know_it() -> None:
    asked = must(None, customer_message("hello"), facts(1, RouteHint()))
    chosen = must(asked.state, customer_message("your account or sign-in", "2"), facts(2, RouteHint()))
    assert chosen.state.owner == "account"
    assert [line.message_id for line in chosen.assign.messages] == ["m-2"] if chosen.assign else False
