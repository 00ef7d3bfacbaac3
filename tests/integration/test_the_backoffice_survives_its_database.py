from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from backoffice_company import Company, Postgres, Reply, administer, database, serving, settings_for, until

pytest_plugins = ("backoffice_fixtures",)

NOWHERE = "postgresql://postgres@127.0.0.1:1/nothing"


@pytest.fixture
async def empty_database(backoffice_server: str) -> AsyncIterator[str]:
    name = f"backoffice_{uuid.uuid4().hex}"
    await administer(backoffice_server, f"CREATE DATABASE {name}")
    yield database(backoffice_server, name)
    await administer(backoffice_server, f"DROP DATABASE {name} WITH (FORCE)")


async def unready(company: Company, reason: str) -> None:
    async def told() -> bool:
        reply = await company.get("/readyz")
        return reply.status == 503 and reason in reply.body["reason"]

    await until(told)


async def insisting(company: Company, path: str, key: str) -> Reply:
    """Repeats a refund under the same key until it is answered, as the tools do."""
    replies: list[Reply] = []

    async def answered() -> bool:
        replies.append(await company.post(path, {"reason": "Charged twice"}, key=key))
        return replies[-1].status != 503

    await until(answered, 60)
    return replies[-1]


async def test_without_a_database_it_lives_and_says_why_it_can_not_serve() -> None:
    async with serving(settings_for(NOWHERE)) as company:
        await unready(company, "The database can't be reached")
        assert (await company.get("/livez")).status == 200
        for reply in (await company.get("cus_0001/profile"), await company.post("cus_0001/password-reset")):
            assert (reply.status, reply.body["code"], reply.headers["Retry-After"]) == (503, "unavailable", "1")


async def test_a_database_that_is_not_there_by_name_is_named(backoffice_server: str) -> None:
    async with serving(settings_for(database(backoffice_server, "no_such_database"))) as company:
        await unready(company, 'database "no_such_database" does not exist')


async def test_it_catches_up_when_the_database_comes_later(own_postgres: Postgres) -> None:
    url = own_postgres.url
    await asyncio.to_thread(own_postgres.kill)
    async with serving(settings_for(url)) as company:
        await unready(company, "The database can't be reached")
        await asyncio.to_thread(own_postgres.start)
        await company.ready()
        assert (await company.get("cus_0001/profile")).status == 200


async def test_a_database_killed_in_the_middle_costs_no_refund_and_doubles_none(own_postgres: Postgres) -> None:
    async with serving(settings_for(own_postgres.url, pool_max=4)) as company:
        await company.ready()
        customers = [f"cus_{number:04d}" for number in range(1, 80, 2)]
        paid = [(await company.get(f"{customer}/payments")).body["items"][0] for customer in customers]
        answered = asyncio.Semaphore(0)

        async def refund(customer: str, payment: str) -> Reply:
            reply = await insisting(company, f"{customer}/payments/{payment}/refund", key=f"refund-{payment}")
            answered.release()
            return reply

        async def crash() -> None:
            for _ in range(5):
                await answered.acquire()
            await asyncio.to_thread(own_postgres.kill)
            await unready(company, "The database can't be reached")
            assert (await company.get("/livez")).status == 200
            await asyncio.to_thread(own_postgres.start)

        crashing = asyncio.create_task(crash())
        wishes = zip(customers, paid, strict=True)
        replies = await asyncio.gather(*(refund(customer, entry["payment_id"]) for customer, entry in wishes))
        await crashing
        await company.ready()
        assert {reply.status for reply in replies} == {201}
        rows = await company.sql("SELECT payment_id FROM backoffice.refunds WHERE reason = 'Charged twice'")
        assert sorted(row["payment_id"] for row in rows) == sorted(entry["payment_id"] for entry in paid)


async def test_connections_that_were_cut_are_replaced_without_anyone_noticing(company: Company) -> None:
    await asyncio.gather(*(company.get("cus_0001/profile") for _ in range(10)))
    cut = await company.sql(
        "SELECT pg_terminate_backend(pid, 5000) AS gone FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'parley-backoffice'"
    )
    assert any(row["gone"] for row in cut)
    replies = await asyncio.gather(*(company.get("cus_0001/profile") for _ in range(10)))
    assert {reply.status for reply in replies} == {200}


async def test_a_database_that_hangs_is_not_waited_for_forever(own_postgres: Postgres) -> None:
    async with serving(settings_for(own_postgres.url)) as company:
        # Its tables and made-up customers, which take longer than who is impatient would wait.
        await company.ready()
    impatient = settings_for(own_postgres.url, statement_timeout=0.5, acquire_timeout=0.5, request_timeout=1.0)
    async with serving(impatient) as company:
        await company.ready()
        own_postgres.freeze()
        try:
            reply = await company.get("cus_0001/profile")
            assert (reply.status, reply.body["code"]) == (503, "unavailable")
            await unready(company, "did not answer in time")
            assert (await company.get("/livez")).status == 200
        finally:
            own_postgres.thaw()
        await company.ready()
        async with asyncio.timeout(30):
            while (await company.get("cus_0001/profile")).status != 200:
                continue


async def test_two_instances_that_start_at_once_prepare_one_company(
    empty_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(empty_database)
    async with serving(settings) as one, serving(settings) as other:
        await asyncio.gather(one.ready(), other.ready())
        assert (await one.sql("SELECT count(*) AS many FROM backoffice.customers"))[0]["many"] == 200
        applied = await one.sql("SELECT number FROM backoffice.migrations ORDER BY number")
        assert [row["number"] for row in applied] == [1, 2]
        assert (await one.get("cus_0200/profile")).body == (await other.get("cus_0200/profile")).body
    assert "not ready" not in caplog.text, "the second waits for the first, instead of running into it"


async def test_a_restart_keeps_what_was_changed(backoffice_database: str) -> None:
    async with serving(settings_for(backoffice_database)) as company:
        await company.ready()
        changed = await company.patch("cus_0001/profile", {"phone": "+44 7700 900999"})
        ticket = await company.post("cus_0001/tickets", {"subject": "x", "body": "x"}, key="key-1")
    async with serving(settings_for(backoffice_database)) as company:
        await company.ready()
        assert (await company.get("cus_0001/profile")).body == changed.body
        again = await company.post("cus_0001/tickets", {"subject": "x", "body": "x"}, key="key-1")
        assert (again.body, again.headers["Idempotent-Replayed"]) == (ticket.body, "true")
        assert (await company.sql("SELECT count(*) AS many FROM backoffice.customers"))[0]["many"] == 200


async def test_a_migration_that_was_edited_after_it_ran_is_not_accepted(backoffice_database: str) -> None:
    await administer(backoffice_database, "UPDATE backoffice.migrations SET digest = 'another' WHERE number = 1")
    async with serving(settings_for(backoffice_database)) as company:
        await unready(company, "Migration 0001_customers_and_what_they_have.sql was edited")
