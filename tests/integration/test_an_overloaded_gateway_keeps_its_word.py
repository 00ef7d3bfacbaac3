"""Past its capacity the gateway refuses clearly, new chats first, and everything that it has accepted is answered."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import jwt
from gateway_fixtures import WAIT_S, Client, House, Run, house_in_memory, user
from gateway_on_nats import gateway, server

from parley_gateway.domain import thread_conversation
from parley_gateway.settings import Settings
from parley_proto.envelope import now_ms
from parley_proto.errors import StreamFullError
from parley_testkit.nats_server import NatsServer

__all__ = ["server"]
SECRET = "a secret of the host, forty characters or so"
TEN = Settings(max_unanswered=10)


async def answer(house: House, client: Client, text: str = "Yes.", count: int = 1) -> None:
    """What the conversation service and a specialist do, and what the customer sees of it."""
    owner = house.owner(client.thread)
    await owner.echo(count)
    await owner.answer(text)
    while text not in client.screen.texts().values():
        await client.next()


async def say_until_taken(client: Client, refusals: list[dict[str, Any]]) -> dict[str, Any]:
    """As the page does: the same message again after the time that the refusal names."""
    while True:
        said = await client.say("Hello", "1")
        if said["type"] == "ack":
            return said
        refusals.append(said)
        await asyncio.sleep(said["retryAfterMs"] / 1000)


async def test_three_times_what_fits_is_refused_with_jitter_and_in_the_end_all_are_answered(
    server: NatsServer,
) -> None:
    refusals: list[dict[str, Any]] = []
    async with gateway(server, TEN) as house, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(house.client()) for _ in range(30)]
        firsts = await asyncio.gather(*(client.say("Hello", "1") for client in clients))
        taken = [client for client, first in zip(clients, firsts, strict=True) if first["type"] == "ack"]
        refused = [first for first in firsts if first["type"] == "error"]
        assert len(taken) == 8 and {one["code"] for one in refused} == {"overloaded"}
        times = [one["retryAfterMs"] for one in refused]
        assert len(set(times)) > 15 and all(1500 <= ms <= 3000 for ms in times)
        assert all(one["id"] == "1" for one in refused)

        async def served(client: Client) -> None:
            if client not in taken:
                await say_until_taken(client, refusals)
            await answer(house, client)

        async with asyncio.timeout(6 * WAIT_S):
            await asyncio.gather(*(served(client) for client in clients))
        for client in clients:
            assert len(await house.owner(client.thread).entries()) == 1
        async with house.session.get(f"{house.http}/metrics") as reply:
            measured = await reply.text()
        assert "parley_gateway_unanswered 0.0" in measured
        assert 'parley_gateway_turned_down_total{standing="new",why="share"}' in measured


async def test_a_customer_goes_on_where_a_new_chat_is_refused_and_a_running_turn_where_the_customer_is(
    server: NatsServer,
) -> None:
    async with gateway(server, TEN) as house, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(house.client()) for _ in range(12)]
        known, *others = clients
        assert (await known.say("Hello"))["type"] == "ack"
        await answer(house, known)
        for client in others[:8]:
            assert (await client.say("Hello"))["type"] == "ack"
        assert (await others[8].say("Hello"))["code"] == "overloaded"
        assert (await known.say("One more thing", "2"))["type"] == "ack"
        assert (await known.say("And another", "3"))["type"] == "ack"
        assert (await known.say("And another", "4"))["code"] == "overloaded", "all ten places are taken"
        assert (await known.say("And another", "3"))["duplicate"], "what was taken may always be sent again"
        await answer(house, others[0])
        await answer(house, others[1])
        assert (await others[8].say("Hello"))["code"] == "overloaded", "eight still wait, and new chats get eight"
        await answer(house, others[2])
        assert (await others[8].say("Hello"))["type"] == "ack"


async def test_a_run_over_http_is_refused_with_429_and_a_time(server: NatsServer) -> None:
    async with gateway(server, Settings(max_unanswered=1)) as house, house.client() as first:
        assert (await first.say("Hello"))["type"] == "ack"
        body = Run(house, [user("Hello")]).body
        async with house.session.post(f"{house.http}/v1/agui", json=body) as reply:
            problem = await reply.json()
            assert (reply.status, problem["code"]) == (429, "overloaded")
            assert 1 <= problem["retryAfterMs"] / 1000 <= int(reply.headers["Retry-After"]) <= 3
        await answer(house, first)
        posting = asyncio.create_task(Run(house, [user("Hello")]).post())
        owner = house.owner(thread_conversation("default", "anonymous", "thread-1"))
        await owner.echo()
        await owner.answer("Now.")
        assert list((await posting).screen.texts().values()) == ["Now."]


async def test_a_full_log_is_told_as_such_and_shows_in_readiness() -> None:
    async with house_in_memory() as house, house.client() as client:
        house.bus.failures = [StreamFullError("full")]  # type: ignore[attr-defined]
        refused = await client.say("Hello")
        assert refused["code"] == "overloaded" and refused["retryAfterMs"] > 0
        assert "log is full" in house.door.unable()
        assert (await client.say("Hello"))["type"] == "ack"
        assert house.door.unable() == ""


def token(tenant: str, name: str) -> str:
    claims = {"sub": name, "tenant": tenant, "exp": now_ms() // 1000 + 600}
    return jwt.encode(claims, SECRET, algorithm="HS256")


async def test_a_tenant_that_says_too_much_holds_up_only_itself() -> None:
    settings = Settings(auth="jwt", jwt_secret=SECRET, tenant_messages_per_minute=3)
    async with house_in_memory(settings) as house, AsyncExitStack() as stack:
        loud = [await stack.enter_async_context(house.client(token=token("loud", f"u-{n}"))) for n in range(4)]
        quiet = await stack.enter_async_context(house.client(token=token("quiet", "u")))
        outcomes = [await client.say("Hello") for client in loud]
        assert [one["type"] for one in outcomes] == ["ack", "ack", "ack", "error"]
        assert outcomes[3]["code"] == "overloaded" and outcomes[3]["retryAfterMs"] > 0
        assert (await quiet.say("Hello"))["type"] == "ack"


async def test_the_sockets_of_one_customer_share_what_it_may_say() -> None:
    settings = Settings(auth="jwt", jwt_secret=SECRET, messages_per_minute=6)
    async with house_in_memory(settings) as house, AsyncExitStack() as stack:
        # Their three tickets count too.
        mine = [await stack.enter_async_context(house.client(token=token("one", "me"))) for _ in range(3)]
        outcomes = [await client.say("Hello", str(number)) for number in range(2) for client in mine]
        assert [one.get("code") for one in outcomes] == [None, None, None, *["rate_limited"] * 3]
        assert 0 < outcomes[3]["retryAfterMs"] <= 10_000
        other = await stack.enter_async_context(house.client(token=token("one", "you")))
        assert (await other.say("Hello"))["type"] == "ack"


async def test_a_thousand_sockets_of_one_customer_are_twenty() -> None:
    settings = Settings(auth="jwt", jwt_secret=SECRET, messages_per_minute=10_000, max_sockets_per_principal=20)
    async with house_in_memory(settings) as house, AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(house.client(token=token("one", "me")))

        async def turned_away() -> tuple[str, int]:
            async with house.dial() as socket:
                client = Client(socket)
                await client.send({"type": "hello", "ticket": await house.ticket(token("one", "me"))})
                return await client.error(), await client.closed()

        for _ in range(14):
            outcomes = await asyncio.gather(*(turned_away() for _ in range(70)))
            assert set(outcomes) == {("overloaded", 1013)}
        assert house.door.seats.taken == 20
        await stack.enter_async_context(house.client(token=token("one", "you")))
