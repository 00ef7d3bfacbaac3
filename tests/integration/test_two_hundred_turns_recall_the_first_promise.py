"""200 turns through the owner's real handlers: the first promise is recalled, and every checkpoint stays small."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from llm_provider_fixtures import gateway, settings_for

from parley_conversation.adapters import Heads, Intents, Log
from parley_conversation.handlers import Conversations
from parley_conversation.memory import Memory
from parley_conversation.settings import Settings
from parley_conversation.summaries import Summaries
from parley_llm_gateway.handlers import completing
from parley_llm_gateway.offline import pieces
from parley_llm_gateway.settings import Settings as GatewaySettings
from parley_mesh.cards import Directory
from parley_mesh.memory import MemoryBus
from parley_mesh.notices import NoticeBoard
from parley_proto import subjects
from parley_proto.broadcast import Notice
from parley_proto.conversation import Checkpoint, CustomerMessage, Entry, SummaryWritten, reply_id
from parley_proto.envelope import decode, digest, encode, now_ms
from parley_proto.llm import CompletionRequest, TextDelta
from parley_proto.rag import EmbedReply
from parley_proto.specialist import AssignTurn, Burst, Card, RouteHint
from parley_recap.asking import SUMMARY, Answer, Asked, Note
from parley_recap.rules import promises_in
from parley_specialist.clients import Model
from parley_specialist.prompt import opening, tool_specs
from parley_specialist.spec import Spec
from parley_testkit import fake_provider as play
from parley_testkit.fake_provider import FakeProvider
from parley_testkit.samples import CONVERSATION, IDENTITY, answered

TURNS = 200
PROMISE = "I will send you a voucher of £20 for the broken speaker."
LIMIT = 32_768
SPEC = Spec("billing", "Billing", "charges", "You are billing.", [])


class Known:
    """Stands in for the directory and the notice board, which other suites try on real NATS."""

    def names(self) -> list[str]:
        return ["billing", "escalation"]

    def cards(self) -> list[Card]:
        return [Card("billing", "Billing", "charges", "1")]

    def burst(self, _specialty: str) -> Burst:
        return "merge"

    def in_force(self, _specialty: str) -> list[Notice]:
        return []


class Sure:
    """Routes everything to billing."""

    def route(self, vector: bytes, text: str = "") -> RouteHint:
        return RouteHint("billing", 0.99)


class Talk:
    """One conversation: what reaches its log is given to its owner, in order."""

    def __init__(self, bus: MemoryBus) -> None:
        settings = Settings(summary_patience_s=0.0)
        known = Known()
        self.bus = bus
        self.bus.serve(subjects.RAG_EMBED, self._embed)
        self.summaries = Summaries(settings, bus, Model(bus, settings.summary_patience_s), subjects.SHARDS)
        self.owner = Conversations(
            settings,
            Log(bus, subjects.SHARDS),
            Memory(1 << 20, subjects.SHARDS),
            Intents(bus, cast(Heads, Sure()), 1.0, 1.0),
            cast(Directory, known),
            cast(NoticeBoard, known),
            self.summaries.consider,
        )
        self.sizes: list[int] = []
        self._seen = 0

    @property
    def state(self) -> Checkpoint:
        (stored,) = self.bus.everything(subjects.checkpoint(CONVERSATION))
        return cast(Checkpoint, decode(stored.data, Checkpoint))

    @property
    def written(self) -> list[SummaryWritten]:
        entries: list[Entry] = [decode(stored.data, Entry) for stored in self.bus.everything("conv.*.*")]
        return [entry for entry in entries if isinstance(entry, SummaryWritten)]

    async def ask(self, number: int, text: str) -> AssignTurn:
        """The turn that a customer's message opens."""
        message_id = digest("default", CONVERSATION, str(number))
        message = CustomerMessage(message_id, str(number), text, digest(text), IDENTITY, now_ms())
        await self._happen(encode(message), message_id)
        assigned: AssignTurn = decode(self.bus.everything("turn.billing.*.*")[-1].data, AssignTurn)
        assert [line.text for line in assigned.messages] == [text]
        return assigned

    async def answer(self, turn: AssignTurn, text: str) -> None:
        await self._happen(encode(answered(turn, text, citations=[])), turn.turn_id)

    async def settle(self) -> None:
        """Return when the owner has nothing to do and no summary is under way."""
        async with asyncio.timeout(30):
            while self.summaries.running or self._take() or self.owner.in_flight:
                await asyncio.sleep(0)

    async def _happen(self, data: bytes, msg_id: str) -> None:
        await self.bus.append(subjects.conv(CONVERSATION), data, msg_id=msg_id)
        self._take()
        async with asyncio.timeout(10):
            while self.owner.in_flight:
                await asyncio.sleep(0)
        self.sizes.append(len(self.bus.everything(subjects.checkpoint(CONVERSATION))[0].data))

    def _take(self) -> bool:
        """Give the owner what is new in the log; whether there was any."""
        new = [stored for stored in self.bus.everything("conv.*.*") if stored.seq > self._seen]
        for stored in new:
            self.owner.recover(stored)
            self._seen = stored.seq
        return bool(new)

    async def _embed(self, _data: bytes, _headers: dict[str, str]) -> bytes:
        return encode(EmbedReply("all-MiniLM-L6-v2", 1, b"\0" * 4))


def question(number: int) -> str:
    return f"Question {number}: " + "why does my invoice look so odd, and what is this? " * (1 + number % 9)


def reply(number: int) -> str:
    told = f"Your invoice {number} is over £{number}. " + "It is made up of the parts that you have ordered. " * (
        number % 7
    )
    return f"{told}I will look into invoice {number} again." if number % 10 == 0 else told


def summed_up(body: dict[str, Any]) -> play.Script:
    """A model that keeps what was noted, adds what binds, and has one fact for all that was said."""
    assert body["response_format"]["json_schema"]["name"] == SUMMARY
    quoted: Asked = decode(body["messages"][-1]["content"].encode(), Asked)
    binds = [(line.id, text) for line in quoted.lines if line.role == "assistant" for text in promises_in(line.text)]
    promises = [Note(noted.text, [noted.id]) for noted in quoted.notes.promises] + [
        Note(text, [id_]) for id_, text in binds
    ]
    facts = [Note("The customer asks about invoices.", [quoted.lines[0].id])]
    text = encode(Answer(facts, promises)).decode()
    return play.answer(*(text[start : start + 400] for start in range(0, len(text), 400)))


@asynccontextmanager
async def models(kind: str) -> AsyncIterator[MemoryBus]:
    """A bus on which nobody, the offline model or a provider answers requests for summaries."""
    bus = MemoryBus()
    async with FakeProvider() as provider:
        provider.play_by(summed_up)
        settings = settings_for(provider) if kind == "provider" else GatewaySettings()
        async with gateway(settings) as completions:
            if kind != "nobody":
                bus.serve(subjects.complete("fast"), stream=completing(completions))
            yield bus


@pytest.mark.parametrize("kind", ["nobody", "offline", "provider"])
async def test_the_first_promise_of_200_turns_is_recalled(kind: str) -> None:
    async with models(kind) as bus:
        talk = Talk(bus)
        first = await talk.ask(1, "My speaker arrived broken, what will you do?")
        await talk.answer(first, PROMISE)
        for number in range(2, TURNS + 1):
            await talk.answer(await talk.ask(number, question(number)), reply(number))
            await talk.settle()
        asked = await talk.ask(TURNS + 1, "What did you promise me?")
        assert asked.recap.promises[0].text == PROMISE
        assert asked.recap.promises[0].message_ids == [reply_id(first.turn_id)]
        assert PROMISE not in "".join(line.text for line in asked.window)
        assert f"I will look into invoice {TURNS - 100} again." in [note.text for note in asked.recap.promises]
        assert asked.window[-1].text.startswith(f"Your invoice {TURNS} ")
        assert max(talk.sizes) <= LIMIT and talk.state.turns == TURNS
        assert (len(talk.written) > 5) == (kind != "nobody")
        assert PROMISE in recalled(asked)
        print(f"{kind}: {len(talk.written)} summaries, checkpoints of at most {max(talk.sizes)} bytes")


def recalled(turn: AssignTurn) -> str:
    """What the offline model says to the turn, as billing asks it."""
    chat, tools = opening(SPEC, turn, [], []), tool_specs(SPEC, Known().cards(), consulting=False)
    asking = CompletionRequest("r" * 20, "default", CONVERSATION, chat, 0, tools)
    return "".join(piece.text for piece in pieces(asking) if isinstance(piece, TextDelta))


async def test_a_provider_that_goes_away_and_comes_back_loses_no_promise() -> None:
    async with models("provider") as bus, models("nobody") as empty:
        talk = Talk(bus)
        streamers, nobody = bus._streamers, empty._streamers
        await talk.answer(await talk.ask(1, "My speaker arrived broken, what will you do?"), PROMISE)
        for number in range(2, 120):
            bus._streamers = nobody if 20 <= number < 80 else streamers
            await talk.answer(await talk.ask(number, question(number)), reply(number))
            await talk.settle()
        promises = [note.text for note in talk.state.recap.promises]
        assert promises[0] == PROMISE
        assert [f"I will look into invoice {number} again." in promises for number in range(10, 100, 10)] == [True] * 9
        assert max(talk.sizes) <= LIMIT
