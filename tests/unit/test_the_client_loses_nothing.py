"""The client against a gateway that misbehaves on purpose; the real one is met in the journeys."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from parley_cli.client import Conversation, Door, DoorRefusedError, InputRefusedError, door
from parley_testkit.ports import free_port

THREAD = "cAAAAAAAAAAAAAAAAAAAAAA"
Play = Callable[["Stage"], Awaitable[None]]


class Stage:
    """One connection as the other side sees it."""

    def __init__(self, number: int, socket: web.WebSocketResponse, hello: dict[str, Any]) -> None:
        self.number = number
        self.hello = hello
        self._socket = socket

    async def send(self, **frame: Any) -> None:
        await self._socket.send_str(json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        message = await self._socket.receive()
        assert message.type is WSMsgType.TEXT
        frame: dict[str, Any] = json.loads(message.data)
        return frame

    async def welcome(self) -> None:
        await self.send(type="welcome", threadId=THREAD, heartbeatMs=15000, limits={}, resume="new")

    async def ack(self, frame: dict[str, Any], *, duplicate: bool = False) -> None:
        await self.send(type="ack", id=frame["id"], messageId="m", seq=1, duplicate=duplicate)

    async def echo(self, client_id: str, seq: int = 2) -> None:
        await self._message("customer", "user", "hello", {"clientId": client_id}, seq)

    async def answer(self, text: str, seq: int = 3) -> None:
        await self._message(f"answer-{seq}", "assistant", text, {"specialty": "billing", "kind": "grounded"}, seq)
        await self.event({"type": "RUN_FINISHED", "threadId": THREAD, "runId": "r"})

    async def event(self, ev: dict[str, Any], seq: int = 0) -> None:
        await self.send(type="event", threadId=THREAD, ev=ev, **({"seq": seq} if seq else {}))

    async def close(self, code: int) -> None:
        await self._socket.close(code=code)

    async def _message(self, name: str, role: str, text: str, facts: dict[str, Any], seq: int) -> None:
        await self.event({"type": "TEXT_MESSAGE_START", "messageId": name, "role": role})
        await self.event({"type": "TEXT_MESSAGE_CONTENT", "messageId": name, "delta": text})
        metadata = {"parley": facts}
        await self.event({"type": "TEXT_MESSAGE_END", "messageId": name, "metadata": metadata}, seq)


class Gateway:
    """Plays one scene a connection, the last one again and again."""

    def __init__(self) -> None:
        self.scenes: list[Play] = []
        self.hellos: list[dict[str, Any]] = []
        self.tickets: list[int] = []
        self.url = ""

    async def ticket(self, _request: web.Request) -> web.Response:
        status = self.tickets.pop(0) if self.tickets else 201
        body = {"ticket": "t", "expiresInMs": 30000} if status == 201 else {"code": "x", "message": "Sign in first."}
        return web.json_response(body, status=status)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        hello = json.loads((await socket.receive()).data)
        self.hellos.append(hello)
        number = len(self.hellos)
        await self.scenes[min(number, len(self.scenes)) - 1](Stage(number, socket, hello))
        await socket.receive()
        return socket


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    app = web.Application()
    app.add_routes([web.post("/v1/tickets", made.ticket), web.get("/v1/ws", made.socket)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def through(gateway: Gateway) -> AsyncIterator[Door]:
    async with door(gateway.url) as opened:
        yield opened


async def answers_at_once(stage: Stage) -> None:
    await stage.welcome()
    frame = await stage.receive()
    await stage.ack(frame)
    await stage.echo(frame["id"])
    await stage.answer("Five days.")


async def test_one_message_gets_its_answer(gateway: Gateway, through: Door) -> None:
    gateway.scenes = [answers_at_once]
    async with Conversation(through) as conversation:
        answer = await conversation.say("How long?", 10)
    assert (answer.text, answer.specialty, answer.kind) == ("Five days.", "billing", "grounded")
    assert answer.thread_id == THREAD and answer.ms > 0
    assert gateway.hellos == [{"type": "hello", "ticket": "t", "since": 0}]


@pytest.mark.parametrize("first", [0, 1])
async def test_a_gateway_that_does_not_answer_is_left_for_another(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr("random.randrange", lambda _count: first)
    gateway.scenes = [answers_at_once]
    async with door(f"http://127.0.0.1:{free_port()}/, {gateway.url}/") as either, Conversation(either) as conversation:
        assert (await conversation.say("How long?", 10)).text == "Five days."


async def test_what_was_not_acked_is_sent_again_with_the_same_id(gateway: Gateway, through: Door) -> None:
    ids: list[str] = []

    async def breaks(stage: Stage) -> None:
        await stage.welcome()
        ids.append((await stage.receive())["id"])
        await stage.close(1012)

    async def takes(stage: Stage) -> None:
        await stage.welcome()
        frame = await stage.receive()
        ids.append(frame["id"])
        await stage.ack(frame, duplicate=True)
        await stage.echo(frame["id"])
        await stage.answer("Once.")

    gateway.scenes = [breaks, takes]
    async with Conversation(through) as conversation:
        assert (await conversation.say("hello", 10)).text == "Once."
    assert len(ids) == 2 and ids[0] == ids[1]
    assert gateway.hellos[1]["threadId"] == THREAD


async def test_after_an_ack_it_resumes_where_it_was_and_sends_nothing_again(gateway: Gateway, through: Door) -> None:
    async def takes_and_breaks(stage: Stage) -> None:
        await stage.welcome()
        frame = await stage.receive()
        await stage.ack(frame)
        await stage.echo(frame["id"], seq=5)
        await stage.send(type="going_away", reconnectInMs=10)
        await stage.close(1012)

    async def goes_on(stage: Stage) -> None:
        await stage.welcome()
        await stage.answer("Here you are.", seq=6)

    gateway.scenes = [takes_and_breaks, goes_on]
    async with Conversation(through) as conversation:
        assert (await conversation.say("hello", 10)).text == "Here you are."
        assert conversation.connects == 2
    assert gateway.hellos[1]["since"] == 5


async def test_an_answer_says_as_much_as_the_ack_that_was_lost(gateway: Gateway, through: Door) -> None:
    async def answers_without_ack(stage: Stage) -> None:
        await stage.welcome()
        await stage.echo((await stage.receive())["id"])
        await stage.answer("Done.")

    gateway.scenes = [answers_without_ack]
    async with Conversation(through) as conversation:
        assert (await conversation.say("hello", 10)).text == "Done."
        assert conversation.acked


async def test_an_answer_to_somebody_elses_message_is_not_taken_for_ours(gateway: Gateway, through: Door) -> None:
    async def another_first(stage: Stage) -> None:
        await stage.welcome()
        frame = await stage.receive()
        await stage.answer("For another message.", seq=2)
        await stage.ack(frame)
        await stage.echo(frame["id"], seq=3)
        await stage.answer("For yours.", seq=4)

    gateway.scenes = [another_first]
    async with Conversation(through) as conversation:
        assert (await conversation.say("hello", 10)).text == "For yours."


async def test_too_fast_means_again_later(gateway: Gateway, through: Door) -> None:
    async def hurried(stage: Stage) -> None:
        await stage.welcome()
        first = await stage.receive()
        await stage.send(type="error", id=first["id"], code="rate_limited", message="Slower.", retryAfterMs=20)
        second = await stage.receive()
        assert second == first
        await stage.ack(second)
        await stage.echo(second["id"])
        await stage.answer("Now.")

    gateway.scenes = [hurried]
    async with Conversation(through) as conversation:
        assert (await conversation.say("hello", 10)).text == "Now."


async def test_a_message_that_is_refused_is_not_sent_again(gateway: Gateway, through: Door) -> None:
    async def refuses(stage: Stage) -> None:
        await stage.welcome()
        frame = await stage.receive()
        await stage.send(type="error", id=frame["id"], code="bad_content", message="Too long.")

    gateway.scenes = [refuses]
    async with Conversation(through) as conversation:
        with pytest.raises(InputRefusedError, match="Too long") as caught:
            await conversation.say("x" * 9000, 10)
    assert caught.value.code == "bad_content"


async def test_a_message_that_ends_its_connection_is_not_sent_on_the_next(gateway: Gateway, through: Door) -> None:
    async def hangs_up(stage: Stage) -> None:
        await stage.welcome()
        await stage.receive()
        await stage.close(1009)

    gateway.scenes = [hangs_up]
    async with Conversation(through) as conversation:
        with pytest.raises(InputRefusedError, match="too large") as caught:
            await conversation.say("x" * 9000, 10)
    assert caught.value.code == "too_large"


async def test_a_message_beyond_the_limit_that_the_gateway_names_is_not_sent(gateway: Gateway, through: Door) -> None:
    async def names_its_limit(stage: Stage) -> None:
        await stage.send(type="welcome", threadId=THREAD, limits={"maxFrameBytes": 500}, resume="new")
        await stage.ack(await stage.receive())

    gateway.scenes = [names_its_limit]
    async with Conversation(through) as conversation:
        with pytest.raises(InputRefusedError, match="too large"):
            await conversation.say("x" * 500, 10)
        assert not conversation.acked


async def test_a_gateway_that_is_not_there_is_told_once_and_named_in_the_end() -> None:
    told: list[str] = []
    url = f"http://127.0.0.1:{free_port()}"
    async with door(url) as through, Conversation(through, tell=told.append) as conversation:
        with pytest.raises(TimeoutError):
            await conversation.say("hello", 1)
        assert conversation.trouble == f"The gateway at {url} can't be reached (connection refused)"
    assert told == [f"{conversation.trouble}; trying again."]


async def test_a_conversation_that_never_began_begins_anew(gateway: Gateway, through: Door) -> None:
    async def breaks(stage: Stage) -> None:
        await stage.welcome()
        await stage.receive()
        await stage.close(1012)

    async def knows_nothing(stage: Stage) -> None:
        if "threadId" in stage.hello:
            await stage.send(type="error", code="unknown_conversation", message="There is no such conversation.")
            await stage.close(1008)
        else:
            await answers_at_once(stage)

    gateway.scenes = [breaks, knows_nothing]
    async with Conversation(through) as conversation:
        assert (await conversation.say("hello", 20)).text == "Five days."


async def test_a_thread_that_was_asked_for_and_is_not_there_is_an_error(gateway: Gateway, through: Door) -> None:
    async def unknown(stage: Stage) -> None:
        await stage.send(type="error", code="unknown_conversation", message="There is no such conversation of yours.")
        await stage.close(1008)

    gateway.scenes = [unknown]
    async with Conversation(through, THREAD) as conversation:
        with pytest.raises(DoorRefusedError, match="no such conversation"):
            await conversation.say("hello", 10)
        with pytest.raises(DoorRefusedError):
            await conversation.say("hello again", 10)


async def test_who_may_not_come_in_is_told_at_once(gateway: Gateway, through: Door) -> None:
    gateway.tickets = [401]
    async with Conversation(through) as conversation:
        with pytest.raises(DoorRefusedError, match="Sign in first"):
            await conversation.say("hello", 10)


async def test_a_gateway_that_is_full_is_asked_again(gateway: Gateway, through: Door) -> None:
    gateway.tickets = [503, 429]
    gateway.scenes = [answers_at_once]
    async with Conversation(through) as conversation:
        assert (await conversation.say("hello", 20)).text == "Five days."


async def test_no_answer_in_time_is_told_with_whether_it_was_taken(gateway: Gateway, through: Door) -> None:
    async def takes_only(stage: Stage) -> None:
        await stage.welcome()
        await stage.ack(await stage.receive())

    gateway.scenes = [takes_only]
    async with Conversation(through) as conversation:
        with pytest.raises(TimeoutError):
            await conversation.say("hello", 0.5)
        assert conversation.acked


async def test_a_pong_stands_behind_all_that_was_replayed(gateway: Gateway, through: Door) -> None:
    async def replays(stage: Stage) -> None:
        await stage.welcome()
        await stage.answer("one", seq=3)
        await stage.answer("two", seq=4)
        frame = await stage.receive()
        await stage.send(type="pong", id=frame["id"])

    gateway.scenes = [replays]
    async with Conversation(through, THREAD) as conversation:
        await conversation.caught_up(10)
    assert [message.text for message in conversation.transcript.answers] == ["one", "two"]
