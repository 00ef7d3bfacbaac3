"""The way of a message: hello, ack, streamed words, the committed answer; and what else a client may ask for."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from gateway_fixtures import (
    Client,
    House,
    Log,
    house,
    house_in_memory,
)

from parley_gateway import app
from parley_gateway.domain import message_id
from parley_gateway.settings import Settings
from parley_proto.broadcast import Notice
from parley_proto.conversation import (
    CancelRequested,
    FeedbackGiven,
    OwnerChanged,
    PersonRequested,
    RunEnded,
    StepShown,
    ToolShown,
)
from parley_proto.envelope import now_ms, valid_id
from parley_proto.errors import AmbiguousCommitError, StreamFullError, TransientError

__all__ = ["house"]
SECRET = "a secret of the host, forty characters or so"
TURN = "t" + "1" * 32


async def test_a_message_is_acked_and_its_answer_streamed(house: House) -> None:
    async with house.client() as client:
        assert client.resume == "new"
        assert valid_id(client.thread)
        ack = await client.say("I was charged twice")
        assert ack == {
            "type": "ack",
            "id": "1",
            "messageId": message_id("default", client.thread, "1"),
            "seq": 1,
            "duplicate": False,
        }
        owner = house.owner(client.thread)
        await owner.echo()
        await owner.live(StepShown(TURN, 1, "retrieve", "started"))
        await owner.live(ToolShown(TURN, 1, "call-1", "list_payments", "started"))
        await owner.stream(TURN, "It was ", "charged ")
        await client.until("TEXT_MESSAGE_CONTENT")
        await owner.answer("It was charged twice.", TURN)
        await client.until("RUN_FINISHED")
        assert list(client.screen.texts().values()) == ["It was charged twice."]
        assert client.screen.texts("user") == {ack["messageId"]: "I was charged twice"}
        assert client.screen.state["parley"]["owner"] == "billing"
        assert client.seq > ack["seq"]


async def test_the_log_has_the_message_with_who_sent_it(house: House) -> None:
    async with house.client() as client:
        await client.say("Hello")
        ((_, message),) = await house.owner(client.thread).entries()
        assert message.identity.principal == "anonymous"
        assert message.identity.customer_id.startswith("cus_0")
        assert (message.text, message.client_id) == ("Hello", "1")


async def test_a_resend_is_harmless_and_another_text_is_refused(house: House) -> None:
    async with house.client() as client:
        first = await client.say("Hello")
        again = await client.say("Hello")
        assert again == first | {"duplicate": True}
        other = await client.say("Refund everything")
        assert (other["type"], other["code"], other["id"]) == ("error", "id_reused", "1")
        assert len(await house.owner(client.thread).entries()) == 1
    async with house.client() as elsewhere:
        ack = await elsewhere.say("Refund everything")
        assert ack["duplicate"] is False


async def test_an_ambiguous_write_is_tried_again_under_the_same_id() -> None:
    bus = Log()
    async with house_in_memory(bus=bus) as house, house.client() as client:
        bus.failures = [AmbiguousCommitError("No answer."), TransientError("No leader.")]
        assert (await client.say("Hello"))["type"] == "ack"
        assert bus.appends == 3
        assert len(await house.owner(client.thread).entries()) == 1


async def test_a_full_log_is_said_at_once_and_nothing_is_lost() -> None:
    bus = Log()
    async with house_in_memory(bus=bus) as house, house.client() as client:
        bus.failures = [StreamFullError("Full.")]
        refused = await client.say("Hello")
        assert refused["code"] == "overloaded"
        assert refused["retryAfterMs"] > 0
        assert (await client.say("Hello"))["duplicate"] is False


async def test_a_log_that_stays_away_is_unavailable_and_the_sentence_names_no_subject() -> None:
    bus = Log()
    async with house_in_memory(Settings(accept_s=0.2), bus) as house, house.client() as client:
        bus.failures = [TransientError("Nobody answers on conv.1.x just now.")] * 50
        refused = await client.say("Hello")
        assert refused["code"] == "unavailable"
        assert "conv." not in refused["message"]


async def test_what_is_sent_in_order_stands_in_order(house: House) -> None:
    async with house.client() as client:
        for number in range(12):
            await client.send({"type": "message.send", "id": str(number), "content": f"line {number}"})
        for _ in range(12):
            await client.until("ack")
        assert [entry.client_id for _, entry in await house.owner(client.thread).entries()] == [
            str(number) for number in range(12)
        ]


async def test_what_was_sent_before_leaving_is_still_logged(house: House) -> None:
    async with house.client() as client:
        thread = client.thread
        for number in range(5):
            await client.send({"type": "message.send", "id": str(number), "content": "and goodbye"})
    assert len(await house.owner(thread).wait_for(5)) == 5


async def test_a_customer_can_stop_ask_for_a_person_and_rate(house: House) -> None:
    async with house.client() as client:
        await client.send({"type": "run.cancel", "id": "early"})
        refused = await client.until("error")
        assert (refused["code"], refused["id"]) == ("nothing_yet", "early")
        ack = await client.say("Hello")
        await client.send({"type": "run.cancel"})
        await client.send({"type": "handoff.request"})
        await client.send({"type": "handoff.request", "to": "billing"})
        await client.send({"type": "feedback", "messageId": ack["messageId"], "rating": "up", "comment": "Nice"})
        entries = [entry for _, entry in await house.owner(client.thread).wait_for(5)]
        assert isinstance(entries[1], CancelRequested)
        assert [entry.to for entry in entries if isinstance(entry, PersonRequested)] == ["escalation", "billing"]
        assert [entry.rating for entry in entries if isinstance(entry, FeedbackGiven)] == ["up"]


async def test_a_person_can_be_asked_for_before_anything_is_said(house: House) -> None:
    async with house.client() as client:
        await client.send({"type": "handoff.request"})
        ((_, entry),) = await house.owner(client.thread).wait_for(1)
        assert isinstance(entry, PersonRequested)


async def test_small_frames_are_answered_or_accepted(house: House) -> None:
    async with house.client() as client:
        await client.send({"type": "typing"})
        await client.send({"type": "read", "seq": 4})
        await client.send({"type": "ping", "id": "p"})
        assert await client.next() == {"type": "pong", "id": "p"}


async def test_a_cancelled_run_is_ended(house: House) -> None:
    async with house.client() as client:
        await client.say("Hello")
        owner = house.owner(client.thread)
        await owner.echo()
        await owner.stream(TURN, "It was")
        await client.until("TEXT_MESSAGE_CONTENT")
        await owner.show(RunEnded(TURN, "cancelled", now_ms()))
        finished = await client.until("RUN_FINISHED")
        assert finished["ev"]["outcome"] == {"type": "cancelled"}
        assert client.screen.texts() == {}


async def test_a_reconnect_misses_nothing_and_sees_nothing_twice(house: House) -> None:
    async with house.client() as client:
        await client.say("First")
        owner = house.owner(client.thread)
        await owner.echo()
        await owner.answer("One.")
        await client.until("RUN_FINISHED")
        thread, seen = client.thread, client.seq
    async with house.client(thread, seen) as client:
        assert client.resume == "replayed"
        await client.say("Second", "2")
        await owner.echo(2)
        seen = max(seen, client.seq)
    await owner.answer("Two.")
    async with house.client(thread, seen) as client:
        await client.until("RUN_FINISHED")
        assert list(client.screen.texts().values()) == ["Two."]
    async with house.client(thread) as whole:
        await whole.until("RUN_FINISHED")
        await whole.until("RUN_FINISHED")
        assert list(whole.screen.texts().values()) == ["One.", "Two."]
        assert list(whole.screen.texts("user").values()) == ["First", "Second"]


async def test_what_happens_during_a_replay_is_told_after_it(house: House) -> None:
    async with house.client() as client:
        await client.say("First")
        thread = client.thread
    owner = house.owner(thread)
    await owner.echo()
    for number in range(60):
        await owner.answer(f"Answer {number}.")

    async def more() -> None:
        for number in range(60, 90):
            await owner.answer(f"Answer {number}.")
            await asyncio.sleep(0)

    writing = asyncio.create_task(more())
    async with house.client(thread) as reader:
        while len(reader.screen.texts()) < 90:
            await reader.next()
        await writing
        assert list(reader.screen.texts().values()) == [f"Answer {number}." for number in range(90)]


async def test_an_ack_is_a_place_to_resume_from(house: House) -> None:
    async with house.client() as client:
        ack = await client.say("First")
    owner = house.owner(client.thread)
    async with house.client(client.thread, ack["seq"]) as again:
        await owner.echo()
        await again.until("STATE_DELTA")
        assert list(again.screen.texts("user").values()) == ["First"]


async def test_a_place_beyond_the_end_is_closed_with_4007(house: House) -> None:
    async with house.client() as client:
        await client.say("First")
    async with house.dial() as socket:
        late = Client(socket)
        await late.send({"type": "hello", "ticket": await house.ticket(), "threadId": client.thread, "since": 99})
        assert await late.error() == "bad_seq"
        assert await late.closed() == 4007


async def test_what_is_no_longer_in_the_log_comes_as_a_snapshot() -> None:
    bus = Log()
    async with house_in_memory(bus=bus) as house:
        async with house.client() as client:
            await client.say("First")
            owner = house.owner(client.thread)
            await owner.echo()
            await owner.answer("One.")
            await client.until("RUN_FINISHED")
            seen, thread = client.seq, client.thread
            await client.say("Second", "2")
            await owner.echo(2)
            await client.until("TEXT_MESSAGE_END")
        bus.forget(f"out.{thread}", seen)
        for since in (seen, 0):
            async with house.client(thread, since) as again:
                assert again.resume == "reset"
                snapshot = await again.until("MESSAGES_SNAPSHOT")
                assert snapshot["seq"] > seen
                assert list(again.screen.texts("user").values()) == ["First", "Second"]
                assert again.screen.state["parley"]["owner"] == "billing"
                await again.until("RUN_FINISHED")
                await again.send({"type": "ping"})
                assert (await again.next())["type"] == "pong"


async def test_two_windows_of_one_conversation_see_the_same(house: House) -> None:
    async with house.client() as one:
        await one.say("Hello")
        async with house.client(one.thread) as two:
            owner = house.owner(one.thread)
            await owner.echo()
            await owner.stream(TURN, "It ", "was")
            await owner.answer("It was so.", TURN)
            for client in (one, two):
                await client.until("RUN_FINISHED")
            assert one.screen.messages == two.screen.messages


async def test_a_conversation_hears_nothing_of_another(house: House) -> None:
    async with house.client() as one, house.client() as two:
        await one.say("Hello")
        await house.owner(one.thread).echo()
        await one.until("STATE_DELTA")
        await two.send({"type": "ping"})
        assert (await two.next())["type"] == "pong"


async def test_a_notice_reaches_whom_it_concerns(house: House) -> None:
    async with house.client() as billing, house.client() as nobody:
        await billing.say("Hello")
        owner = house.owner(billing.thread)
        await owner.echo()
        await owner.answer("Hello.")
        await billing.until("RUN_FINISHED")
        soon = now_ms() + 60_000
        house.door.hub.notice(Notice("n-1", "outage", "Card payments are down.", soon, "critical", "billing"))
        house.door.hub.notice(Notice("n-2", "outage", "All is slow.", soon))
        house.door.hub.notice(Notice("n-2", "outage", "All is slow.", soon))
        await billing.until("RUN_FINISHED")
        await billing.until("RUN_FINISHED")
        assert set(billing.screen.activities) == {"handoff-1", "n-1", "n-2"}
        await nobody.until("RUN_FINISHED")
        assert set(nobody.screen.activities) == {"n-2"}


async def test_who_comes_late_is_told_the_notices_in_force(house: House) -> None:
    notice = Notice("n-1", "outage", "Card payments are down.", now_ms() + 60_000)
    house.door.in_force = lambda specialty: [notice]
    async with house.client() as client:
        await client.until("ACTIVITY_SNAPSHOT")
        assert client.screen.activities["n-1"]["text"] == notice.text


async def test_a_handoff_is_told(house: House) -> None:
    async with house.client() as client:
        await client.say("Hello")
        owner = house.owner(client.thread)
        await owner.echo()
        await owner.stream(TURN, "Let me")
        await client.until("TEXT_MESSAGE_CONTENT")
        await owner.show(OwnerChanged("technical", "billing", 2, "handoff", now_ms(), TURN))
        changed = await client.until("STATE_DELTA")
        while client.screen.state["parley"]["owner"] != "technical":
            changed = await client.until("STATE_DELTA")
        assert changed["seq"]
        assert client.screen.activities["handoff-2"]["previous"] == "billing"
        assert client.screen.texts() == {}


async def test_a_stopping_instance_sends_its_clients_elsewhere(house: House) -> None:
    async with house.client() as client:
        draining = asyncio.create_task(app.drain(house.door, 1.0))
        away = await client.until("going_away")
        assert 0 <= away["reconnectInMs"] <= house.door.settings.reconnect_spread_ms
        assert await client.closed() == 1012
        await draining
    async with house.session.get(f"{house.http}/readyz") as reply:
        assert reply.status == 503
    async with house.session.post(f"{house.http}/v1/tickets") as reply:
        assert reply.status == 503
        assert int(reply.headers["Retry-After"]) >= 1
    async with house.dial() as socket:
        late = Client(socket)
        assert await late.error() == "restart"
        assert await late.closed() == 1012


def token(**claims: Any) -> str:
    return jwt.encode({"sub": "ada", "exp": int(time.time()) + 60} | claims, SECRET, "HS256")


SIGNED = Settings(auth="jwt", jwt_secret=SECRET, max_sockets_per_principal=3)


async def test_only_its_owner_may_go_on_with_a_conversation() -> None:
    async with house_in_memory(SIGNED) as house:
        async with house.client(token=token()) as ada:
            await ada.say("Hello")
            thread = ada.thread
        async with house.client(thread, token=token()) as again:
            assert again.resume == "replayed"
        answers = []
        for who, name in ((token(sub="eve"), thread), (token(tenant="other"), thread), (token(), "c" + "0" * 22)):
            async with house.dial() as socket:
                eve = Client(socket)
                await eve.send({"type": "hello", "ticket": await house.ticket(who), "threadId": name, "since": 0})
                answers.append((await eve.next(), await eve.closed()))
        assert answers[0][0]["code"] == "unknown_conversation"
        assert answers[0][1] == 1008
        assert answers[0] == answers[1] == answers[2]


async def test_a_session_that_ends_closes_the_connection_in_the_middle() -> None:
    async with house_in_memory(SIGNED) as house, house.client(token=token(exp=time.time() + 6)) as ada:
        await ada.say("Hello")
        assert await ada.error() == "session_expired"
        assert await ada.closed() == 4009


async def test_a_ticket_needs_a_token_and_is_taken_once() -> None:
    async with house_in_memory(SIGNED) as house:
        async with house.session.post(f"{house.http}/v1/tickets") as reply:
            assert reply.status == 401
            assert (await reply.json())["code"] == "unauthorized"
        ticket = await house.ticket(token())
        async with house.dial() as first:
            await Client(first).hello(ticket)
        async with house.dial() as second:
            again = Client(second)
            await again.send({"type": "hello", "ticket": ticket})
            assert await again.error() == "bad_ticket"
            assert await again.closed() == 1008


async def test_one_customer_can_not_take_all_places() -> None:
    async with house_in_memory(SIGNED) as house:
        async with house.client(token=token()), house.client(token=token()), house.client(token=token()):
            async with house.dial() as socket:
                fourth = Client(socket)
                await fourth.send({"type": "hello", "ticket": await house.ticket(token())})
                assert await fourth.error() == "overloaded"
                assert await fourth.closed() == 1013
            async with house.client(token=token(sub="eve")) as other:
                assert other.resume == "new"
        async with house.client(token=token()) as later:
            assert later.resume == "new"


async def test_when_all_places_are_taken_the_next_is_told_to_come_later() -> None:
    async with house_in_memory(Settings(max_sockets=2)) as house:
        async with house.client(), house.client(), house.dial() as socket:
            third = Client(socket)
            assert await third.error() == "overloaded"
            assert await third.closed() == 1013
        async with house.client() as client:
            assert client.resume == "new"
        assert house.door.seats.taken <= 1


@pytest.mark.parametrize(
    ("origin", "status"),
    [("null", 403), ("http://127.0.0.1.evil.test", 403), ("https://evil.test", 403), ("https://shop.example", 101)],
)
async def test_a_strange_origin_is_not_let_in(origin: str, status: int) -> None:
    async with house_in_memory(Settings(origins="https://shop.example")) as house:
        headers = {
            "Origin": origin,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        async with house.session.get(house.ws.replace("ws:", "http:"), headers=headers) as reply:
            assert reply.status == status
        async with house.session.post(f"{house.http}/v1/tickets", headers={"Origin": origin}) as reply:
            assert reply.status == (201 if status == 101 else 403)
        assert house.door.seats.taken <= 1


async def test_what_a_client_may_know_before_it_connects(house: House) -> None:
    async with house.session.get(f"{house.http}/v1/meta") as reply:
        assert await reply.json() == {"version": "0.1.0", "auth": False, "offline": None}
    async with house.client() as client:
        await client.say("Hello")
        owner = house.owner(client.thread)
        await owner.echo()
        await owner.answer("Hello.")
        await client.until("RUN_FINISHED")
    async with house.session.get(f"{house.http}/v1/meta") as reply:
        assert (await reply.json())["offline"] is True


async def test_the_page_comes_with_a_strict_policy_and_nothing_else_does(house: House) -> None:
    async with house.session.get(f"{house.http}/") as reply:
        assert reply.status == 200
        policy = reply.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        body = await reply.text()
    assert "<script>" not in body
    assert "http://" not in body.replace("http://www.w3.org", "")
    assert "https://" not in body
    for path in ("chat.js", "socket.js", "render.js", "i18n.js", "style.css"):
        async with house.session.get(f"{house.http}/page/{path}") as reply:
            assert reply.status == 200
            assert "innerHTML" not in await reply.text()
    for path in ("/page/..%2fsettings.py", "/page/nothing.js", "/page/__init__.py", "/nothing"):
        async with house.session.get(house.http + path) as reply:
            assert reply.status == 404


async def test_the_http_side_describes_itself(house: House) -> None:
    async with house.session.get(f"{house.http}/schema/openapi.json") as reply:
        paths = json.loads(await reply.text())["paths"]
    assert {"/v1/tickets", "/v1/agui", "/v1/meta"} <= set(paths)
    async with house.session.get(house.ws.replace("ws:", "http:")) as reply:
        assert reply.status == 426


async def test_the_gateway_counts_what_it_does(house: House) -> None:
    async with house.client() as client:
        await client.say("Hello")
        async with house.session.get(f"{house.http}/metrics") as reply:
            text = await reply.text()
    assert "parley_gateway_sockets 1.0" in text
    assert 'parley_gateway_messages_total{outcome="accepted"}' in text
