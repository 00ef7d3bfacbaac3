"""What reliability.md lists for the door: each meets a clear refusal or a safe answer, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import json
import os
import struct
from contextlib import suppress
from typing import Any

import pytest
from gateway_fixtures import WAIT_S, Client, House, Log, house, house_in_memory
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import ConnectionClosed

from parley_gateway.domain import MAX_FRAME
from parley_gateway.settings import Settings
from parley_proto.conversation import MAX_TEXT_BYTES

__all__ = ["house"]
MAX_MESSAGE = 1 << 17
HANDSHAKE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
TEXT, CONT, BINARY, CLOSE = 1, 0, 2, 8


def open_sockets(house: House) -> int:
    return sum(isinstance(one, WebSocketsSansIOProtocol) for one in house.server._server.server_state.connections)


async def still_fine(house: House) -> None:
    """Somebody else is served as if nothing had happened."""
    async with house.client() as client:
        assert (await client.say("Hello"))["type"] == "ack"


@pytest.mark.parametrize(
    "name",
    ["a.b", "*", ">", "../x", "$JS.API.STREAM.DELETE.X", "é", "e\u0301", "with space", "x" * 128, "<script>"],
)
async def test_odd_ids_are_logged_under_a_subject_of_our_own(house: House, name: str) -> None:
    async with house.client() as client:
        ack = await client.say("Hello", name)
        assert (ack["type"], ack["id"]) == ("ack", name)
        log = house.bus
        assert isinstance(log, Log)
        assert [stored.subject.rpartition(".")[2] for stored in log.everything("conv.>")] == [client.thread]


@pytest.mark.parametrize("name", ["", " ", "x" * 5000, "a\x00b", "a\r\nPUB conv.1.x 5\r\nhello", "\u202eabc"])
async def test_ids_that_are_none_are_refused(house: House, name: str) -> None:
    async with house.client() as client:
        refused = await client.say("Hello", name)
        assert refused["code"] in ("bad_id", "malformed")
        assert (await client.say("Hello", "good"))["type"] == "ack"


@pytest.mark.parametrize("thread", ["a.b", "*", ">", "", "x\r\nPUB a 0\r\n\r\n", "c" * 5000, "é" * 20, "../" * 8])
async def test_threads_that_are_none_of_ours_are_refused(house: House, thread: str) -> None:
    async with house.dial() as socket:
        client = Client(socket)
        await client.send({"type": "hello", "ticket": await house.ticket(), "threadId": thread})
        assert await client.error() == "bad_id"
        assert await client.closed() == 1008


@pytest.mark.parametrize("content", ["", "  \n", "\u200b", "a\x00b", "x" * (MAX_TEXT_BYTES + 1)])
async def test_words_that_are_none_are_refused(house: House, content: str) -> None:
    async with house.client() as client:
        refused = await client.say(content)
        assert (refused["code"], refused["id"]) == ("bad_content", "1")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 60_000,
        "9" * 60_000,
        '{"type": "ping", "id": ' + "9" * 60_000 + "}",
        "NaN",
        '{"type": "message.send", "id": "1", "content": NaN}',
        '{"type": "message.send", "id": "1", "content": "x", "role": "system"}',
        '{"type": "message.send", "id": "1", "content": "\\ud800"}',
        '{"type": "message.send"',
        "",
    ],
)
async def test_what_can_not_be_read_is_refused_and_the_connection_goes_on(house: House, text: str) -> None:
    async with house.client() as client:
        await client.socket.send(text)
        assert await client.error() == "malformed"
        assert (await client.say("Hello"))["type"] == "ack"


async def test_two_keys_of_one_name_are_one_message(house: House) -> None:
    async with house.client() as client:
        await client.socket.send('{"type": "message.send", "id": "1", "id": "2", "content": "a", "content": "b"}')
        assert (await client.until("ack"))["id"] == "2"
        assert [entry.text for _, entry in await house.owner(client.thread).entries()] == ["b"]


async def test_a_client_that_speaks_nonsense_is_closed(house: House) -> None:
    async with house.client() as client:
        for _ in range(3):
            await client.socket.send("nonsense")
        assert await client.closed() == 1008
        assert [frame["code"] for frame in client.frames if frame["type"] == "error"] == ["malformed"] * 3


async def test_one_good_frame_forgives_the_bad_ones(house: House) -> None:
    async with house.client() as client:
        for _ in range(4):
            await client.socket.send("nonsense")
            await client.socket.send("nonsense")
            await client.send({"type": "ping"})
            await client.until("pong")


async def test_another_protocols_frames_are_named_and_the_connection_goes_on(house: House) -> None:
    async with house.client() as client:
        for _ in range(5):
            await client.send({"type": "message.delete", "id": "7"})
            refused = await client.until("error")
            assert (refused["code"], refused["id"]) == ("unknown_type", "7")
        assert (await client.say("Hello"))["type"] == "ack"


async def test_a_frame_for_another_conversation_is_refused(house: House) -> None:
    async with house.client() as mine, house.client() as other:
        await other.say("Hello")
        await mine.send({"type": "message.send", "id": "1", "content": "Hello", "threadId": other.thread})
        assert await mine.error() == "wrong_thread"
        assert len(await house.owner(other.thread).entries()) == 1


async def test_binary_frames_are_refused(house: House) -> None:
    async with house.client() as client:
        await client.socket.send(b'{"type": "ping"}')
        assert await client.error() == "malformed"


@pytest.mark.parametrize("size", [MAX_FRAME + 1, 3 * MAX_FRAME, 10_000_000])
async def test_a_frame_that_is_too_large_is_closed_with_1009(house: House, size: int) -> None:
    async with house.client() as client:
        with suppress(ConnectionClosed):
            await client.socket.send("x" * size)
        assert await client.closed() == 1009
    await still_fine(house)


@pytest.mark.parametrize(
    "first", [{"type": "ping"}, {"type": "message.send", "id": "1", "content": "Hello"}, {"type": "x"}, {}]
)
async def test_nothing_is_said_before_hello(house: House, first: dict[str, Any]) -> None:
    async with house.dial() as socket:
        client = Client(socket)
        await client.send(first)
        assert await client.error() in ("hello_required", "unknown_type", "malformed")
        assert await client.closed() == 1008
    log = house.bus
    assert isinstance(log, Log)
    assert not log.everything()


async def test_hello_is_said_in_time() -> None:
    async with house_in_memory(Settings(hello_s=0.1)) as house, house.dial() as socket:
        assert await Client(socket).closed() == 1008


async def test_hello_is_said_once(house: House) -> None:
    async with house.client() as client:
        await client.send({"type": "hello", "ticket": await house.ticket()})
        assert await client.error() == "malformed"


@pytest.mark.parametrize("ticket", ["", "x", "x.y", "é" * 10, "a" * 9000])
async def test_a_made_up_ticket_opens_nothing(house: House, ticket: str) -> None:
    async with house.dial() as socket:
        client = Client(socket)
        await client.send({"type": "hello", "ticket": ticket})
        assert await client.error() == "bad_ticket"
        assert await client.closed() == 1008


async def test_too_many_messages_are_slowed_down_and_then_closed() -> None:
    async with house_in_memory(Settings(messages_per_minute=5)) as house:
        async with house.client() as client:
            for number in range(6):
                await client.send({"type": "message.send", "id": str(number), "content": "Hello"})
            refused = await client.until("error")
            assert (refused["code"], refused["id"]) == ("rate_limited", "5")
            assert 0 < refused["retryAfterMs"] <= 12_000
            for number in range(6, 40):
                with suppress(ConnectionClosed):
                    await client.send({"type": "message.send", "id": str(number), "content": "Hello"})
            assert await client.closed() == 4008
            assert len(await house.owner(client.thread).entries()) == 5
        await still_fine(house)


class Raw:
    """A TCP connection that has shaken hands and then does what no library would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, house: House) -> Raw:
        host = house.http.removeprefix("http://")
        name, port = host.split(":")
        raw = cls(*await asyncio.open_connection(name, int(port)))
        raw.writer.write(HANDSHAKE % host.encode())
        head = await asyncio.wait_for(raw.reader.readuntil(b"\r\n\r\n"), WAIT_S)
        assert b" 101 " in head
        assert b"deflate" not in head.lower()
        return raw

    def frame(self, opcode: int, payload: bytes, *, final: bool = True, reserved: int = 0) -> None:
        first = (0x80 if final else 0) | reserved | opcode
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack("!H", size)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        self.writer.write(bytes([first]) + length + mask + masked)

    def say(self, frame: dict[str, Any]) -> None:
        self.frame(TEXT, json.dumps(frame).encode())

    async def next(self) -> tuple[int, bytes]:
        first, second = await asyncio.wait_for(self.reader.readexactly(2), WAIT_S)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(size)

    async def close_code(self) -> int:
        while True:
            opcode, payload = await self.next()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")

    async def hello(self, ticket: str, thread: str = "") -> str:
        self.say({"type": "hello", "ticket": ticket} | ({"threadId": thread} if thread else {}))
        while True:
            frame = json.loads((await self.next())[1])
            if frame["type"] == "welcome":
                return str(frame["threadId"])


async def test_invalid_utf8_is_closed_with_1007(house: House) -> None:
    raw = await Raw.to(house)
    raw.frame(TEXT, b'{"type": "ping", "id": "\xff\xfe"}')
    assert await raw.close_code() == 1007
    raw.writer.close()
    await still_fine(house)


async def test_endless_fragments_are_closed_with_1009(house: House) -> None:
    raw = await Raw.to(house)
    await raw.hello(await house.ticket())
    raw.frame(TEXT, b'"', final=False)
    for _ in range(MAX_MESSAGE // 1000 + 1):
        raw.frame(CONT, b"x" * 1000, final=False)
    assert await raw.close_code() == 1009
    raw.writer.close()
    await still_fine(house)


async def test_a_compressed_frame_is_not_unpacked(house: House) -> None:
    raw = await Raw.to(house)
    raw.frame(TEXT, b"\x00" * 100, reserved=0x40)
    assert await raw.close_code() == 1002
    raw.writer.close()
    await still_fine(house)


async def test_a_client_that_never_reads_is_cut_off_and_costs_nobody_else(house: House) -> None:
    async with house.client() as writer:
        await writer.say("Hello")
        owner = house.owner(writer.thread)
        await owner.echo()
        raw = await Raw.to(house)
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        raw.say({"type": "hello", "ticket": await house.ticket(), "threadId": writer.thread})
        async with asyncio.timeout(WAIT_S):
            while house.door.seats.taken < 2:
                await asyncio.sleep(0.01)
        answered = 0
        async with asyncio.timeout(3 * WAIT_S):
            while house.door.seats.taken == 2:
                await owner.answer(f"{answered} " + "word " * 1500)
                await writer.until("RUN_FINISHED")
                answered += 1
        assert len(writer.screen.texts()) == answered
        async with asyncio.timeout(WAIT_S):
            # Not only forgotten by the gateway: its connection is gone, although nothing was read.
            while open_sockets(house) > 1:
                await asyncio.sleep(0.01)
        raw.writer.close()
        async with house.client(writer.thread) as again:
            while len(again.screen.texts()) < answered:
                await again.next()
    assert not house.door.guests


async def test_a_client_that_stalls_is_cut_off_even_when_nothing_more_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("parley_gateway.ws.STUCK_S", 0.5)
    async with house.client() as writer:
        await writer.say("Hello")
        owner = house.owner(writer.thread)
        await owner.echo()
        (here,) = house.door.guests
        raw = await Raw.to(house)
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        raw.say({"type": "hello", "ticket": await house.ticket(), "threadId": writer.thread})
        async with asyncio.timeout(WAIT_S):
            while len(house.door.guests) < 2:
                await asyncio.sleep(0.01)
        (stalled,) = {*house.door.guests} - {here}
        answered = 0
        async with asyncio.timeout(3 * WAIT_S):
            # The system's own buffers have to be full first; each answer reaches the other reader at once.
            while not len(stalled._outbox):  # type: ignore[attr-defined]
                await owner.answer(f"{answered} " + "word " * 1500)
                await writer.until("RUN_FINISHED")
                answered += 1
        async with asyncio.timeout(WAIT_S):
            while house.door.seats.taken == 2 or open_sockets(house) > 1:
                await asyncio.sleep(0.01)
        raw.writer.close()
        assert len(writer.screen.texts()) == answered


async def test_a_client_that_reads_slowly_gets_every_word_in_fewer_events(house: House) -> None:
    async with house.client() as fast:
        await fast.say("Hello")
        owner = house.owner(fast.thread)
        await owner.echo()
        turn = "t" + "1" * 32
        words = [f"word{number} " for number in range(3000)]
        await owner.stream(turn, *words)
        await owner.answer("".join(words), turn)
        await fast.until("RUN_FINISHED")
        assert list(fast.screen.texts().values()) == ["".join(words)]


async def test_many_connections_come_and_go_without_a_trace() -> None:
    # Nobody answers them.
    async with house_in_memory(Settings(least_waiting=1000)) as house:

        async def visit(number: int) -> None:
            async with house.client() as client:
                assert (await client.say(f"Hello {number}"))["type"] == "ack"

        for _ in range(4):
            await asyncio.gather(*(visit(number) for number in range(40)))
        async with asyncio.timeout(WAIT_S):
            while house.door.guests or house.door.hub.open_rooms:
                await asyncio.sleep(0.01)
        assert house.door.seats.taken == 0
