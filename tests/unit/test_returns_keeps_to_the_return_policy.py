from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from paper_backoffice import AWAY, PaperBackoffice, use

from parley_returns import domain, tools
from parley_returns.records import Order, Subscription
from parley_specialist.tools import Tool, ToolRefusedError

NOW = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)


def raw(status: str = "delivered", days: float = 5, now: datetime = NOW, **more: Any) -> dict[str, Any]:
    at = now - timedelta(days=days)
    return {
        "order_id": "ORD-100001",
        "status": status,
        "items": [{"name": "Charger", "quantity": 1}, {"name": "Case", "quantity": 2}],
        "total": "84.70",
        "currency": "GBP",
        "carrier": None if status in ("received", "packed") else "Paxpost",
        "tracking": None if status in ("received", "packed") else "PX010945425GB",
        "placed_at": (at - timedelta(days=2)).isoformat(),
        "delivered_at": at.isoformat() if status == "delivered" else None,
    } | more


def order(status: str = "delivered", days: float = 5, **more: Any) -> Order:
    return msgspec.convert(raw(status, days, **more), Order)


PLUS = {"ends_on": None}
MADE = {"return_id": "RET-650001", "status": "requested", "send_by": "2030-01-14", "created_at": "2026-06-01T10:00:00Z"}


def office(item: dict[str, Any], *, plus: bool = False, returned: str = "", answer: Any = None) -> PaperBackoffice:
    records: dict[str, Any] = {"/orders": {"items": [item]}}
    if plus:
        records["/subscription"] = PLUS
    made: Any = returned or MADE | {"order_id": item["order_id"]}
    return PaperBackoffice(
        records, {"POST /returns": made, f"POST /orders/{item['order_id']}/cancel": answer or {"refunds": []}}
    )


def live(status: str = "delivered", days: float = 5, **more: Any) -> dict[str, Any]:
    return raw(status, days, datetime.now(UTC), **more)


RETURN = '{"order_id": "ORD-100001"}'


@pytest.mark.parametrize(
    ("days", "plus", "possible"),
    [(0, False, True), (30, False, True), (31, False, False), (31, True, True), (60, True, True), (61, True, False)],
)
def test_the_window_is_30_days_and_60_with_plus(days: int, plus: bool, possible: bool) -> None:
    assert (domain.return_refusal(order(days=days), plus=plus, now=NOW) == "") is possible


def test_the_day_of_delivery_counts_in_british_time() -> None:
    delivered = "2026-05-16T23:30:00Z"  # 00:30 on the 17th in London
    found = order(delivered_at=delivered)
    assert domain.last_day(found, plus=False) == date(2026, 6, 16)
    assert domain.return_refusal(found, plus=False, now=datetime(2026, 6, 16, 22, 59, tzinfo=UTC)) == ""
    assert domain.return_refusal(found, plus=False, now=datetime(2026, 6, 16, 23, 0, tzinfo=UTC)) != ""


@pytest.mark.parametrize(
    ("bought", "last"),
    [
        (datetime(2026, 10, 31, 12, tzinfo=UTC), date(2026, 12, 2)),
        (datetime(2026, 11, 1, 12, tzinfo=UTC), date(2027, 1, 31)),
        (datetime(2026, 12, 24, 12, tzinfo=UTC), date(2027, 1, 31)),
        (datetime(2026, 12, 25, 12, tzinfo=UTC), date(2027, 1, 26)),
    ],
)
def test_what_is_bought_before_christmas_can_be_returned_through_january(bought: datetime, last: date) -> None:
    found = order(placed_at=bought.isoformat(), delivered_at=(bought + timedelta(days=2)).isoformat())
    assert domain.last_day(found, plus=False) == last


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (order("received"), "has not been delivered yet"),
        (order("sent"), "has not been delivered yet"),
        (order("cancelled"), "was cancelled, so there is nothing to send back"),
        (order(days=40), "so the time for a return is over. If it is faulty, the warranty of 24 months"),
        (order(days=40, items=[{"name": "Wren speaker", "quantity": 1}]), "home trial of 45 nights is still open"),
        (order(days=46, items=[{"name": "Wren speaker", "quantity": 1}]), "warranty"),
    ],
)
def test_what_can_not_be_returned_is_told_with_what_is_left(found: Order, words: str) -> None:
    assert words in domain.return_refusal(found, plus=False, now=NOW)


@pytest.mark.parametrize(
    ("plan", "has"),
    [
        (None, False),
        (Subscription(None), True),
        (Subscription(date(2026, 6, 15)), True),
        (Subscription(date(2026, 6, 14)), False),
    ],
)
def test_plus_lasts_to_the_end_of_what_is_paid(plan: Subscription | None, has: bool) -> None:
    assert domain.has_plus(plan, NOW) is has


@pytest.mark.parametrize(
    ("reason", "plus", "words"),
    [
        (
            "not stated",
            False,
            "costs £3.90, which we deduct from the refund, unless it is faulty, damaged or the wrong",
        ),
        ("changed mind", False, "costs £3.90, which we deduct from the refund. The refund"),
        ("faulty or damaged", False, "is free for you"),
        ("wrong item", False, "is free for you"),
        ("changed mind", True, "is free for you"),
    ],
)
async def test_a_return_is_booked_with_its_date_and_what_the_label_costs(reason: str, plus: bool, words: str) -> None:
    backoffice = office(live(), plus=plus)
    arguments = f'{{"order_id": "ORD-100001", "reason": "{reason}"}}'
    result = await use(tools.start_return, backoffice, arguments)
    assert backoffice.sent == [("POST /returns", {"order_id": "ORD-100001", "reason": reason})]
    assert result.summary.startswith(
        "The return RET-650001 of order ORD-100001 is booked: please hand over the parcel by 14 January 2030."
    )
    assert words in result.summary
    assert "3 to 5 working days after we have checked the return" in result.summary


@pytest.mark.parametrize("item", [live("sent"), live(days=120)])
async def test_a_return_outside_the_rules_never_reaches_the_back_office(item: dict[str, Any]) -> None:
    backoffice = office(item, plus=True)
    with pytest.raises(ToolRefusedError):
        await use(tools.start_return, backoffice, RETURN)
    assert backoffice.sent == []


@pytest.mark.parametrize(
    ("tool", "arguments"), [(tools.start_return, RETURN), (tools.order_status, "{}"), (tools.cancel_order, RETURN)]
)
async def test_a_membership_that_can_not_be_read_shortens_no_return_period(tool: Tool, arguments: str) -> None:
    backoffice = office(live(days=45))
    backoffice.records["/subscription"] = AWAY
    with pytest.raises(ToolRefusedError, match="can't reach your records"):
        await use(tool, backoffice, arguments)
    assert backoffice.sent == []


async def test_a_second_return_is_told_as_what_it_is() -> None:
    backoffice = office(live(), returned="A return of order ORD-100001 already exists.")
    with pytest.raises(ToolRefusedError, match="already exists"):
        await use(tools.start_return, backoffice, RETURN)


async def test_an_order_of_nobody_is_refused() -> None:
    for tool in (tools.start_return, tools.cancel_order, tools.order_status):
        with pytest.raises(ToolRefusedError, match="There is no order ORD-999999 on your account"):
            await use(tool, office(live()), '{"order_id": "ORD-999999"}')
    with pytest.raises(ToolRefusedError, match="You have no orders yet"):
        await use(tools.order_status, PaperBackoffice({"/orders": {"items": []}}))


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (live("received", 0), ["is received but not packed yet", "still change or cancel it free of charge"]),
        (live("packed", 0), ["is packed: it is being prepared", "can't be changed or cancelled any more"]),
        (live("sent", 0), ["was sent with Paxpost, tracking number PX010945425GB,", "takes 2 to 4 working days"]),
        (live("sent", 20), ["we can start a search with the courier"]),
        (live("sent", 0, carrier=None), ["was sent and is on its way"]),
        (live(days=3), ["was delivered on", "You can return it until"]),
        (live(days=120), ["was delivered on", "You could return it until"]),
        (live("cancelled"), ["was cancelled.", "can't be restored"]),
        (live("held"), ["is held."]),
    ],
)
async def test_the_latest_order_is_told_by_its_state(item: dict[str, Any], words: list[str]) -> None:
    result = await use(tools.order_status, office(item))
    assert result.summary.startswith("Your order ORD-100001 of ")
    assert "(Charger and 2 x Case, £84.70)" in result.summary
    for part in words:
        assert part in result.summary
    assert result.data == {"order_id": "ORD-100001", "status": item["status"]}


def test_a_parcel_is_late_after_six_working_days() -> None:
    placed = datetime(2026, 6, 5, 9, tzinfo=UTC)  # a Friday
    found = order("sent", placed_at=placed.isoformat())
    assert not domain.late(found, datetime(2026, 6, 15, 9, tzinfo=UTC))
    assert domain.late(found, datetime(2026, 6, 16, 9, tzinfo=UTC))


async def test_only_the_three_newest_orders_are_told() -> None:
    items = [live(order_id=f"ORD-10000{number}") for number in (5, 4, 3, 2)]
    result = await use(tools.list_orders, PaperBackoffice({"/orders": {"items": items}}))
    assert result.data == {"orders": ["ORD-100005", "ORD-100004", "ORD-100003"]}
    assert "ORD-100002" not in result.summary


def test_of_a_long_order_three_lines_are_named() -> None:
    items = [{"name": name, "quantity": 1} for name in ("Lamp", "Case", "Cable", "Charger")]
    assert domain.what(order(items=items).items) == "Lamp, Case, Cable and more"


async def test_an_order_that_is_not_packed_is_cancelled_with_its_refunds() -> None:
    refunds = [{"refund_id": f"REF-55000{n}", "amount": "84.70", "currency": "GBP"} for n in (1, 2)]
    backoffice = office(live("received"), answer={"refunds": refunds})
    result = await use(tools.cancel_order, backoffice, RETURN)
    assert backoffice.sent == [("POST /orders/ORD-100001/cancel", {})]
    assert "You get back £84.70 (REF-550001) and £84.70 (REF-550002)." in result.summary
    assert "3 to 5 working days" in result.summary


async def test_an_order_that_was_only_reserved_is_cancelled_without_a_refund() -> None:
    result = await use(tools.cancel_order, office(live("received")), RETURN)
    assert "Money that was only reserved is released today" in result.summary


@pytest.mark.parametrize(
    ("item", "plus", "words"),
    [
        (
            live("sent"),
            False,
            "was sent with Paxpost, tracking number PX010945425GB, and can't be cancelled any more",
        ),
        (live("sent"), True, "return it within 60 days of delivery"),
        (live("packed"), False, "is packed already and can't be cancelled any more. You can refuse the parcel"),
        (live(days=3), False, "It can't be cancelled any more. You can return it until"),
    ],
)
async def test_an_order_that_left_is_not_cancelled(item: dict[str, Any], plus: bool, words: str) -> None:
    backoffice = office(item, plus=plus)
    with pytest.raises(ToolRefusedError, match=words):
        await use(tools.cancel_order, backoffice, RETURN)
    assert backoffice.sent == []


async def test_a_repeat_of_a_cancellation_reaches_the_back_office_which_knows_the_key() -> None:
    backoffice = office(live("cancelled"))
    await use(tools.cancel_order, backoffice, RETURN)
    assert len(backoffice.sent) == 1


@pytest.mark.parametrize(
    ("status", "send_by", "refunded", "words"),
    [
        ("requested", "2030-01-14", "0.00", "has not arrived yet; please hand over the parcel by 14 January 2030."),
        ("requested", "2024-01-14", "0.00", "has not arrived; the label was valid until 14 January 2024."),
        ("on_its_way", "2024-01-14", "0.00", "is on its way to us."),
        ("arrived", "2024-01-14", "0.00", "has arrived; we check it within 3 working days"),
        ("arrived", "2024-01-14", "84.70", "has arrived; we check it within 3 working days"),
        ("checked", "2024-01-14", "0.00", "is checked; the refund is sent on the same day."),
        ("refunded", "2024-01-14", "84.70", "is checked, and £84.70 was refunded."),
        ("refunded", "2024-01-14", "0.00", "is refunded."),
        ("lost", "2024-01-14", "0.00", "is lost."),
    ],
)
async def test_a_return_is_told_by_how_far_it_is(status: str, send_by: str, refunded: str, words: str) -> None:
    made = MADE | {"order_id": "ORD-100001", "status": status, "send_by": send_by}
    payment = {"order_id": "ORD-100001", "refunded": refunded, "currency": "GBP"}
    backoffice = PaperBackoffice({"/returns": {"items": [made]}, "/payments": {"items": [payment]}})
    summary = (await use(tools.return_status, backoffice)).summary
    assert summary.startswith("Your return RET-650001 of order ORD-100001, asked for on 1 June")
    assert words in summary


async def test_without_returns_the_window_is_told() -> None:
    summary = (await use(tools.return_status, PaperBackoffice({"/returns": {"items": []}}))).summary
    assert summary == "You have no returns. A return can be booked within 30 days of delivery, with Plus within 60."
