from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from backoffice_company import Company, serving, settings_for, until

from parley_backoffice import effects
from parley_backoffice.adapters import Database, pool_of
from parley_backoffice.app import utc_now
from parley_backoffice.domain import call_of
from parley_backoffice.records import RefundRequest

pytest_plugins = ("backoffice_fixtures",)

CHANGING = [
    ("PATCH", "cus_0001/profile", {"phone": "+44 7700 900999"}),
    ("POST", "cus_0003/orders/{order}/cancel", None),
    ("POST", "cus_0001/payments/{payment}/refund", {"reason": "Charged twice"}),
    ("POST", "cus_0001/devices/{device}/restart", None),
    ("POST", "cus_0001/returns", {"order_id": "{returnable}", "reason": "Too large"}),
    ("POST", "cus_0001/subscription/cancel", None),
    ("POST", "cus_0001/tickets", {"subject": "Slow line", "body": "Every evening."}),
    ("POST", "cus_0001/password-reset", None),
]


async def filled(company: Company, text: Any) -> Any:
    names = {
        "{order}": (await company.get("cus_0003/orders")).body["items"][0]["order_id"],
        "{returnable}": (await company.get("cus_0001/orders")).body["items"][0]["order_id"],
        "{payment}": (await company.get("cus_0001/payments")).body["items"][0]["payment_id"],
        "{device}": (await company.get("cus_0001/devices")).body["items"][0]["device_id"],
    }
    if isinstance(text, dict):
        return {name: names.get(value, value) for name, value in text.items()}
    for name, value in names.items():
        text = text.replace(name, value)
    return text


async def refundable(company: Company, customer: str = "cus_0001") -> str:
    payment = (await company.get(f"{customer}/payments")).body["items"][0]
    return f"{customer}/payments/{payment['payment_id']}/refund"


async def contents(company: Company) -> list[list[Any]]:
    tables = ["customers", "orders", "payments", "refunds", "devices", "returns", "subscriptions", "tickets"]
    return [
        sorted(str(row) for row in await company.sql(f"SELECT * FROM backoffice.{table}"))
        for table in [*tables, "password_resets", "calls"]
    ]


@pytest.mark.parametrize(("method", "path", "body"), CHANGING)
async def test_the_same_call_again_gets_the_first_reply(company: Company, method: str, path: str, body: object) -> None:
    path, body = await filled(company, path), await filled(company, body) if body else None
    first = await company.call(method, path, body, key="key-1")
    before = await contents(company)
    company.clock.forward(hours=1)
    again = await company.call(method, path, body, key="key-1")
    assert first.status < 300
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert await contents(company) == before


@pytest.mark.parametrize(("method", "path", "body"), CHANGING)
async def test_without_a_usable_key_nothing_is_done(company: Company, method: str, path: str, body: object) -> None:
    path, body = await filled(company, path), await filled(company, body) if body else None
    before = await contents(company)
    status, problem, _ = await company.call(method, path, body)
    assert (status, problem["code"]) == (400, "idempotency_key_missing")
    for key in ("a b", "é", "x" * 256):
        status, problem, _ = await company.call(method, path, body, key=key)
        assert (status, problem["code"]) == (400, "idempotency_key_invalid")
    assert await contents(company) == before


async def test_a_key_used_for_another_body_is_refused(company: Company) -> None:
    path = await refundable(company)
    first = await company.post(path, {"reason": "Charged twice", "amount": "1.00"}, key="key-1")
    before = await contents(company)
    other = await company.post(path, {"reason": "Charged twice", "amount": "2.00"}, key="key-1")
    assert (first.status, other.status, other.body["code"]) == (201, 422, "idempotency_mismatch")
    assert "Idempotent-Replayed" not in other.headers
    assert await contents(company) == before


async def test_a_key_used_for_another_object_or_call_is_refused(company: Company) -> None:
    wish = {"reason": "Charged twice"}
    await company.post(await refundable(company), wish, key="key-1")
    elsewhere = await company.post(await refundable(company, "cus_0003"), wish, key="key-1")
    different = await company.post("cus_0001/password-reset", key="key-1")
    assert (elsewhere.status, elsewhere.body["code"]) == (422, "idempotency_mismatch")
    assert (different.status, different.body["code"]) == (422, "idempotency_mismatch")
    assert (await company.get("cus_0003/refunds")).body == {"items": []}


async def test_a_refusal_is_a_reply_too(company: Company) -> None:
    order = (await company.get("cus_0002/orders")).body["items"][0]["order_id"]
    first = await company.post(f"cus_0002/orders/{order}/cancel", key="key-1")
    again = await company.post(f"cus_0002/orders/{order}/cancel", key="key-1")
    assert (first.status, again.status, again.body) == (409, 409, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_malformed_call_does_not_use_up_its_key(company: Company) -> None:
    path = await refundable(company)
    assert (await company.post(path, {"why": "?"}, key="key-1")).status == 400
    assert (await company.post(path, {"reason": "Charged twice"}, key="key-1")).status == 201


async def test_twenty_refunds_at_once_with_one_key_are_one_refund(company: Company) -> None:
    path = await refundable(company)
    replies = await asyncio.gather(*(company.post(path, {"reason": "Charged twice"}, key="key-1") for _ in range(20)))
    assert {reply.status for reply in replies} == {201}
    assert len({reply.body["refund_id"] for reply in replies}) == 1
    assert sum("Idempotent-Replayed" not in reply.headers for reply in replies) == 1
    assert len((await company.get("cus_0001/refunds")).body["items"]) == 1


async def test_twenty_refunds_at_once_with_twenty_keys_are_one_refund(company: Company) -> None:
    path = await refundable(company)
    replies = await asyncio.gather(
        *(company.post(path, {"reason": "Charged twice"}, key=f"key-{number}") for number in range(20))
    )
    assert sorted(reply.status for reply in replies) == [201] + [409] * 19
    assert {reply.body.get("code") for reply in replies} == {None, "already_refunded"}
    assert len((await company.get("cus_0001/refunds")).body["items"]) == 1


async def test_a_cancellation_and_refunds_at_once_give_each_payment_back_once(company: Company) -> None:
    order = (await company.get("cus_0003/orders")).body["items"][0]
    paid = (await company.get("cus_0003/payments")).body["items"][:2]
    calls = [company.post(f"cus_0003/payments/{entry['payment_id']}/refund", {"reason": "x"}) for entry in paid]
    cancelled, *refunds = await asyncio.gather(company.post(f"cus_0003/orders/{order['order_id']}/cancel"), *calls)
    assert cancelled.status == 200
    given = [entry["payment_id"] for entry in (await company.get("cus_0003/refunds")).body["items"]]
    assert sorted(given) == sorted(entry["payment_id"] for entry in paid)
    assert sum(reply.status == 201 for reply in refunds) + len(cancelled.body["refunds"]) == 2


async def test_who_waits_too_long_for_the_first_call_is_told_to_come_back(backoffice_database: str) -> None:
    async with serving(settings_for(backoffice_database, lock_wait=0.2)) as company:
        await company.ready()
        path, first = await refundable(company), await asyncpg.connect(backoffice_database)
        under_way = first.transaction()
        await under_way.start()
        await first.execute("INSERT INTO backoffice.calls VALUES ('key-1', 'f', 'refund', NULL, NULL, now())")
        status, problem, headers = await company.post(path, {"reason": "Charged twice"}, key="key-1")
        assert (status, problem["code"], headers["Retry-After"]) == (409, "in_progress", "1")
        await under_way.rollback()
        await first.close()
        assert (await company.post(path, {"reason": "Charged twice"}, key="key-1")).status == 201


class Forgetful(Database):
    """Loses the connection after a commit, before it hears of it, once it is told to."""

    forgets = False

    async def _attempt(self, work: Any) -> Any:
        reply = await super()._attempt(work)
        if self.forgets:
            self.forgets = False
            raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return reply


async def test_a_commit_whose_confirmation_was_lost_is_not_done_again(company: Company) -> None:
    payment_id = (await refundable(company)).split("/")[2]
    settings, request = settings_for(company.url), RefundRequest(reason="Charged twice")
    database = Forgetful(pool_of(settings), settings, utc_now)

    async def refund(connection: Any, now: Any) -> Any:
        return await effects.refund_payment(connection, now, "cus_0001", payment_id, request)

    async def prepared() -> bool:
        return await database.why_not_ready() is None

    async with database.opened():
        await until(prepared)
        database.forgets = True
        reply = await database.once(call_of("key-1", "refund", payment_id, request), 201, refund)
    assert (reply.status, reply.replayed, database.forgets) == (201, True, False)
    assert len((await company.get("cus_0001/refunds")).body["items"]) == 1


async def test_a_fault_in_the_middle_leaves_neither_effect_nor_key(company: Company) -> None:
    await company.sql("ALTER TABLE backoffice.refunds ADD CONSTRAINT nothing_goes CHECK (false) NOT VALID")
    path = await refundable(company)
    before = await contents(company)
    status, problem, _ = await company.post(path, {"reason": "Charged twice"}, key="key-1")
    assert (status, problem["code"]) == (500, "internal_error")
    assert "nothing_goes" not in problem["message"]
    assert await contents(company) == before
    await company.sql("ALTER TABLE backoffice.refunds DROP CONSTRAINT nothing_goes")
    assert (await company.post(path, {"reason": "Charged twice"}, key="key-1")).status == 201
