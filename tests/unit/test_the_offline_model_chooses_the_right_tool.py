"""The offline model calls the tool that a message asks for, with arguments that somebody really gave."""

from __future__ import annotations

import pytest
from offline_situations import CANCEL_ORDER, ORDER_STATUS, PASSAGES, ok, say

_ORDERS_ONE = ok("Order ORD-100105 of 3 November, one kettle.", data={"orders": ["ORD-100105"]})
_ORDERS_TWO = ok("Order ORD-100105, a kettle. Order ORD-100106, a lamp.", data={"orders": ["ORD-100105", "ORD-100106"]})


@pytest.mark.parametrize(
    ("text", "own", "tool"),
    [
        ("I was charged twice for my last order", "billing", "find_duplicate_charges"),
        ("why did u take the money two times?!", "billing", "find_duplicate_charges"),
        ("There is a duplicate charge on my card", "billing", "find_duplicate_charges"),
        ("wheres my refund", "billing", "refund_status"),
        ("I'm still waiting for my reimbursement", "billing", "refund_status"),
        ("when will i get my money back", "billing", "refund_status"),
        ("could you send me my bill please", "billing", "list_invoices"),
        ("Where is my parcel?", "returns", "order_status"),
        ("I have not received my order yet", "returns", "order_status"),
        ("tracking my packge", "returns", "order_status"),
        ("what is the ETA of my purchase", "returns", "order_status"),
        ("show me all my orders", "returns", "list_orders"),
    ],
)
def test_customers_words_find_the_tool(text: str, own: str, tool: str) -> None:
    assert say(text, own).tool == tool


@pytest.mark.parametrize(
    ("text", "own", "tool", "arguments"),
    [
        ("refund PAY-300002, the duplicate charge", "billing", "refund_payment", {"payment_id": "PAY-300002"}),
        ("cancel order ord-100007!", "returns", "cancel_order", {"order_id": "ORD-100007"}),
        ("where is (ORD-100001)?", "returns", "order_status", {"order_id": "ORD-100001"}),
        ("track my latest order", "returns", "order_status", {"order_id": "latest"}),
        ("change my e-mail to jo.do+x@example.org", "account", "change_email", {"new_email": "jo.do+x@example.org"}),
        ("My new mobile number is +44 7700 900123.", "account", "change_phone", {"new_phone": "+44 7700 900123"}),
        (
            "I moved, update my address to 12 Mill Lane, BS1 4DJ Bristol",
            "account",
            "change_address",
            {"new_address": "12 Mill Lane, BS1 4DJ Bristol"},
        ),
        (
            "I want to send ORD-100003 back, it is faulty",
            "returns",
            "start_return",
            {"order_id": "ORD-100003", "reason": "faulty"},
        ),
        (
            "Somebody used my card!",
            "escalation",
            "open_ticket",
            {"subject": "Somebody used my card", "urgency": "critical"},
        ),
    ],
)
def test_arguments_come_from_the_message(text: str, own: str, tool: str, arguments: dict[str, str]) -> None:
    said = say(text, own)
    assert (said.tool, said.arguments) == (tool, arguments)


def test_an_identifier_may_have_been_said_before() -> None:
    window = ["My order is ORD-100009", "Thank you."]
    assert say("please cancel my order", "returns", window=window).arguments == {"order_id": "ORD-100009"}
    handed = (
        'Handed over from billing: {"reason": "cancel", "facts": [{"text": "It is ORD-100010", "message_ids": []}]}'
    )
    assert say("cancel my order", "returns", facts=[handed]).arguments == {"order_id": "ORD-100010"}


def test_what_is_missing_is_asked_for_in_the_words_of_the_schema() -> None:
    said = say("cancel my order", "returns", tools=[CANCEL_ORDER])
    assert said.text == "Could you tell me the order number, such as ORD-100001?"


def test_the_answer_to_our_question_goes_to_the_tool_that_needed_it() -> None:
    question = "Could you tell me the order number, such as ORD-100001?"
    said = say("it is ORD-100007", "returns", window=["cancel my order", question], tools=[ORDER_STATUS, CANCEL_ORDER])
    assert (said.tool, said.arguments) == ("cancel_order", {"order_id": "ORD-100007"})
    question = "Could you tell me the new address with street, postcode and town?"
    said = say("Lindenweg 5, 10115 Berlin", "account", window=["I moved", question])
    assert (said.tool, said.arguments) == ("change_address", {"new_address": "Lindenweg 5, 10115 Berlin"})


def test_another_wish_instead_of_an_answer_is_a_wish() -> None:
    question = "Could you tell me the new address with street, postcode and town?"
    assert (
        say("change my phone number to +44 7700 900123", "account", window=["I moved", question]).tool == "change_phone"
    )


def test_a_list_is_fetched_where_it_can_tell_what_is_missing() -> None:
    assert say("cancel my order", "returns").tool == "list_orders"
    said = say("cancel my order", "returns", results=[("list_orders", {}, _ORDERS_ONE)])
    assert (said.tool, said.arguments) == ("cancel_order", {"order_id": "ORD-100105"})


def test_the_last_order_is_looked_up_by_the_tool_that_knows_the_latest() -> None:
    text = "I want to return my last order, it is faulty"
    said = say(text, "returns")
    assert (said.tool, said.arguments) == ("order_status", {"order_id": "latest"})
    told = ok("ORD-100105 was delivered.", data={"order_id": "ORD-100105", "status": "delivered"})
    said = say(text, "returns", results=[("order_status", {"order_id": "latest"}, told)])
    assert (said.tool, said.arguments) == ("start_return", {"order_id": "ORD-100105", "reason": "faulty"})


def test_an_example_in_our_own_question_is_nobodys_number() -> None:
    window = ["cancel my order", "Could you tell me the order number, such as ORD-100001?"]
    assert say("please cancel my order", "returns", window=window, tools=[CANCEL_ORDER]).tool == ""


def test_of_several_only_the_customer_chooses() -> None:
    said = say("cancel my order", "returns", results=[("list_orders", {}, _ORDERS_TWO)])
    assert said.tool == ""
    assert "ORD-100105 and ORD-100106 are possible." in said.text
    assert said.text.endswith("Could you tell me the order number, such as ORD-100001?")


def test_two_orders_are_looked_up_one_after_the_other() -> None:
    text = "Where are ORD-100001 and ORD-100002?"
    first = say(text, "returns")
    assert first.arguments == {"order_id": "ORD-100001"}
    done = ("order_status", first.arguments, ok("ORD-100001 is on its way."))
    second = say(text, "returns", results=[done])
    assert second.arguments == {"order_id": "ORD-100002"}
    third = say(text, "returns", results=[done, ("order_status", second.arguments, ok("ORD-100002 was delivered."))])
    assert third.text == "ORD-100001 is on its way. ORD-100002 was delivered."


def test_two_wishes_get_two_tools() -> None:
    text = "Where is my refund? Also send me my bill."
    assert say(text).tool == "refund_status"
    done = ("refund_status", {}, ok("Your refund was sent on Monday."))
    assert say(text, results=[done]).tool == "list_invoices"
    said = say(text, results=[done, ("list_invoices", {}, ok("Invoice INV-1 is paid."))])
    assert said.text == "Your refund was sent on Monday. Invoice INV-1 is paid."


def test_the_part_of_a_message_that_is_anothers_is_asked_of_them() -> None:
    text = "Where is my refund? Also my router is broken."
    done = ("refund_status", {}, ok("Your refund was sent on Monday."))
    said = say(text, results=[done])
    assert (said.tool, said.arguments["specialty"]) == ("consult", "technical")
    assert "router" in said.arguments["question"]
    said = say(text, results=[done, ("consult", said.arguments, ok("Please restart the router."))])
    assert said.text == "Your refund was sent on Monday. Please restart the router."


def test_what_a_tool_suggests_is_followed_only_where_it_is_asked_for() -> None:
    suggest = {"tool": "refund_payment", "arguments": {"payment_id": "PAY-2"}}
    found = ok(
        "PAY-1 and PAY-2 are the same. PAY-2 can be refunded.", data={"pay": ["PAY-1", "PAY-2"]}, suggest=suggest
    )
    done = ("find_duplicate_charges", {}, found)
    said = say("I was charged twice, please refund the duplicate charge", results=[done])
    assert (said.tool, said.arguments) == ("refund_payment", {"payment_id": "PAY-2"})
    assert (
        say("Why are there two payments?", results=[done]).text
        == "PAY-1 and PAY-2 are the same. PAY-2 can be refunded."
    )
    elsewhere = ok("Fine.", suggest={"tool": "format_disk", "arguments": {}})
    assert say("refund the duplicate charge", results=[("find_duplicate_charges", {}, elsewhere)]).tool != "format_disk"


def test_the_same_call_is_made_once_a_turn() -> None:
    said = say("where is my refund", results=[("refund_status", {}, ok("It was sent."))])
    assert (said.tool, said.text) == ("", "It was sent.")


def test_after_four_rounds_it_answers() -> None:
    results = [("order_status", {"order_id": f"ORD-{n}00"}, ok(f"Order {n} is here.")) for n in range(1, 5)]
    said = say("Where are ORD-100, ORD-200, ORD-300, ORD-400 and ORD-500?", "returns", results=results)
    assert said.tool == ""
    assert said.text.startswith("Order 1 is here. Order 2 is here.")


def test_a_follow_up_is_understood_with_the_message_before_it() -> None:
    window = ["Where is my order ORD-100105?", "Your order ORD-100105 was sent on Monday."]
    said = say("and when will I get it?", "returns", window=window)
    assert (said.tool, said.arguments) == ("order_status", {"order_id": "ORD-100105"})


def test_a_general_question_is_answered_from_the_pages_instead_of_asking_for_a_number() -> None:
    said = say("What is your return policy?", "returns", passages=PASSAGES)
    assert said.text.startswith("You can return most products within 30 days of delivery.")


@pytest.mark.parametrize("text", ["What is the capital of France?", "tell me a joke", "do you sell horses", "ß∂ƒ©"])
def test_no_tool_is_called_for_what_no_tool_does(text: str) -> None:
    assert say(text, passages=PASSAGES).tool == ""


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a+)+$",
        "^((a+))*b$",
        "^(a|a)*$",
        "^(a{1,30}){1,30}$",
        r"^a*a*a*a*a*a*a*b$",
        r"^(a+)\1$",
        "^(?:a?b?)+$"[:0] + "(",
    ],
)
def test_a_pattern_that_takes_for_ever_is_not_searched_with(pattern: str) -> None:
    hostile = {"type": "string", "pattern": pattern, "description": "the code"}
    tool = type(CANCEL_ORDER)(
        "redeem_code",
        "Redeem.\nUse when: redeem my code",
        {"type": "object", "properties": {"code": hostile}, "required": ["code"]},
    )
    assert say("redeem my code " + "a1" * 2000, tools=[tool]).text == "Could you tell me the code?"
