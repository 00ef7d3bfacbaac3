"""AutoGen Core over gRPC: a host, two workers with a specialist each, and the load in a process of its own.

A conversation is an agent instance in each worker, which keeps what was said in its memory: nothing is durable.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from autogen_core import AgentId, MessageContext, RoutedAgent, rpc, try_get_known_serializers_for_type
from autogen_ext.runtimes.grpc import GrpcWorkerAgentRuntime, GrpcWorkerAgentRuntimeHost
from peer_race import Options, Turn, options, race
from peer_work import Kept, handed, question, reply

ADDRESS = "AUTOGEN_PEER_ADDRESS"


@dataclass
class Asked:
    conversation: str
    turn: int
    text: str


@dataclass
class Handed:
    context: str
    messages: list[str]


@dataclass
class Said:
    text: str


MESSAGES = (Asked, Handed, Said)


class First(RoutedAgent):
    def __init__(self) -> None:
        super().__init__("first")
        self._messages: list[str] = []

    @rpc
    async def on_asked(self, message: Asked, context: MessageContext) -> Said:
        self._messages.append(message.text)
        over = Handed(handed(message.conversation, message.turn), list(self._messages))
        said: Said = await self.send_message(over, AgentId("second", message.conversation))
        self._messages.append(said.text)
        return said


class Second(RoutedAgent):
    def __init__(self) -> None:
        super().__init__("second")
        self._handed: Handed | None = None

    @rpc
    async def on_handed(self, message: Handed, context: MessageContext) -> Said:
        self._handed = message
        return Said(reply(message.context))


SPECIALISTS = {"first": First, "second": Second}


class AutoGen:
    """The side of whoever asks: a runtime without agents."""

    def __init__(self, chosen: Options) -> None:
        self._runtime = runtime()

    async def __aenter__(self) -> AutoGen:
        await self._runtime.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runtime.stop()

    def turn(self, slot: int) -> Turn:
        async def take(conversation: str, turn: int) -> str:
            asked = Asked(conversation, turn, question(conversation, turn))
            said: Said = await self._runtime.send_message(asked, AgentId("first", conversation))
            return said.text

        return take

    async def kept(self, conversation: str) -> Kept | None:
        return None


def runtime() -> GrpcWorkerAgentRuntime:
    made = GrpcWorkerAgentRuntime(os.environ[ADDRESS])
    for message in MESSAGES:
        made.add_message_serializer(try_get_known_serializers_for_type(message))
    return made


def host(ready: multiprocessing.Queue[str]) -> None:
    async def serve() -> None:
        GrpcWorkerAgentRuntimeHost(os.environ[ADDRESS]).start()
        ready.put("host")
        await asyncio.Event().wait()

    asyncio.run(serve())


def worker(name: str, ready: multiprocessing.Queue[str]) -> None:
    async def serve() -> None:
        made = runtime()
        await made.start()
        await SPECIALISTS[name].register(made, name, SPECIALISTS[name])
        ready.put(name)
        await asyncio.Event().wait()

    asyncio.run(serve())


@contextlib.contextmanager
def mesh() -> Iterator[None]:
    """The host and the two workers, as processes."""
    os.environ[ADDRESS] = f"127.0.0.1:{free_port()}"
    context = multiprocessing.get_context("spawn")
    ready, started = context.Queue(), []
    try:
        for target, names in ((host, ()), (worker, ("first",)), (worker, ("second",))):
            started.append(context.Process(target=target, args=(*names, ready), daemon=True))
            started[-1].start()
            ready.get(timeout=60)
        yield
    finally:
        for process in started:
            process.terminate()
            process.join(10)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    chosen = options(__doc__)
    with mesh():
        race(chosen, AutoGen, durable=False)
