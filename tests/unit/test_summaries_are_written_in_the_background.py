"""The owner asks for a summary of a long conversation while turns go on, and believes it only as far as it may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from parley_conversation.recap import to_summarise
from parley_conversation.settings import Settings
from parley_conversation.summaries import Summaries
from parley_mesh.memory import MemoryBus
from parley_proto import subjects
from parley_proto.conversation import Checkpoint, Entry, SummaryWritten
from parley_proto.envelope import MSG_ID, decode, digest, encode
from parley_proto.llm import CompletionRequest, Failed, Finished, TextDelta, Usage
from parley_proto.specialist import Fact, Line, Summary
from parley_recap.asking import SUMMARY, Answer, Asked, Note
from parley_specialist.clients import Model
from parley_testkit.samples import AT, CONVERSATION, IDENTITY

SETTINGS = Settings(window_tokens=300, summary_patience_s=0.0, summaries_at_once=2)
PROMISE = "I will send you a voucher of £20."


def talk(count: int) -> list[Line]:
    said = [("customer", "my card is 4111 1111 1111 1111", ""), ("assistant", PROMISE, "billing")]
    return [Line(*said[n % 2][:2], f"m-{n}", said[n % 2][2], AT) for n in range(count)]  # type: ignore[arg-type]


def state(count: int = 20, conversation: str = CONVERSATION) -> Checkpoint:
    recap = Summary([], [Fact("I will call on Monday.", ["old"])])
    return Checkpoint(conversation, IDENTITY, AT, window=talk(count), recap=recap)


class Scene:
    """A model that answers when it is let, and everything that reached it."""

    def __init__(self, answer: str | Failed) -> None:
        self.bus = MemoryBus()
        self.asked: list[CompletionRequest] = []
        self.let = asyncio.Event()
        self._answer = answer
        self.bus.serve(subjects.complete("fast"), stream=self._model)
        self.summaries = Summaries(SETTINGS, self.bus, Model(self.bus, SETTINGS.summary_patience_s), 64)

    @property
    def written(self) -> list[SummaryWritten]:
        entries: list[Entry] = [decode(stored.data, Entry) for stored in self.bus.everything("conv.*.*")]
        return [entry for entry in entries if isinstance(entry, SummaryWritten)]

    async def over(self) -> None:
        async with asyncio.timeout(5):
            while self.summaries.running:
                await asyncio.sleep(0)

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.asked) < count:
                await asyncio.sleep(0)

    async def _model(self, data: bytes, _headers: dict[str, str]) -> AsyncIterator[bytes]:
        self.asked.append(decode(data, CompletionRequest))
        await self.let.wait()
        if isinstance(self._answer, Failed):
            yield encode(self._answer)
            return
        yield encode(TextDelta(self._answer))
        yield encode(Finished("stop", "scripted", Usage(1, 1)))


def answer(*promises: Note) -> str:
    return encode(Answer([Note("A card was named.", ["l1"])], list(promises))).decode()


GOOD = answer(Note("A voucher of £20 is sent.", ["l2"]))


async def test_a_summary_of_the_oldest_lines_is_written_to_the_log_under_its_own_id() -> None:
    scene = Scene(GOOD)
    scene.let.set()
    scene.summaries.consider(state())
    await scene.over()
    upto = to_summarise(state(), SETTINGS.window_tokens)[-1].message_id
    (written,) = scene.written
    assert written.upto == upto
    assert written.recap.promises == [
        Fact("I will call on Monday.", ["old"]),
        Fact("A voucher of £20 is sent.", ["m-1"]),
    ]
    (stored,) = scene.bus.everything("conv.*.*")
    assert stored.subject == subjects.conv(CONVERSATION)
    assert stored.headers[MSG_ID] == digest(CONVERSATION, upto)


async def test_the_model_gets_data_without_card_numbers_or_ids_and_the_form_of_the_answer() -> None:
    scene = Scene(GOOD)
    scene.let.set()
    scene.summaries.consider(state())
    await scene.over()
    (request,) = scene.asked
    assert (request.tier, request.tools, request.epoch) == ("fast", [], 0)
    assert request.response_format is not None and request.response_format["json_schema"]["name"] == SUMMARY
    system, user = request.messages
    quoted: Asked = decode(user.content.encode(), Asked)
    assert quoted.notes.promises[0].text == "I will call on Monday." and "•••• 1111" in quoted.lines[0].text
    assert "4111" not in user.content and "m-1" not in user.content
    assert "voucher" not in system.content and request.messages[0].role == "system"


async def test_a_repeat_is_one_entry() -> None:
    scene = Scene(GOOD)
    scene.let.set()
    for _ in range(2):
        # Another instance, which has taken the shard over and knows nothing of the first.
        summaries = Summaries(SETTINGS, scene.bus, Model(scene.bus, 0.0), 64)
        summaries.consider(state())
        async with asyncio.timeout(5):
            while summaries.running:
                await asyncio.sleep(0)
    assert len(scene.asked) == 2 and len(scene.written) == 1


async def test_one_at_a_time_a_conversation_and_few_in_all() -> None:
    scene = Scene(GOOD)
    for conversation in ("a" * 20, "a" * 20, "b" * 20, "c" * 20):
        scene.summaries.consider(state(conversation=conversation))
    await scene.until_asked(2)
    assert scene.summaries.running == 2
    scene.let.set()
    await scene.over()
    assert [request.conversation for request in scene.asked] == ["a" * 20, "b" * 20]
    scene.summaries.consider(state(conversation="c" * 20))
    await scene.over()
    assert len(scene.written) == 3


@pytest.mark.parametrize(
    "said",
    [
        Failed("provider_down", "The provider is away.", True),
        "I will not do that.",
        encode(Answer([Note("Made up.", ["l99"])])).decode(),
    ],
    ids=["failed", "no JSON", "not grounded"],
)
async def test_after_a_failure_it_is_asked_again_only_when_the_window_has_grown(said: str | Failed) -> None:
    scene = Scene(said)
    scene.let.set()
    bare = msgspec.structs.replace(state(), recap=Summary())
    for _ in range(3):
        scene.summaries.consider(bare)
        await scene.over()
    assert len(scene.asked) == 1 and scene.written == []
    scene.summaries.consider(msgspec.structs.replace(bare, window=talk(24)))
    await scene.over()
    assert len(scene.asked) == 2


async def test_nobody_there_is_a_failure_like_any_other() -> None:
    summaries = Summaries(SETTINGS, MemoryBus(), Model(MemoryBus(), 0.0), 64)
    summaries.consider(state())
    async with asyncio.timeout(5):
        while summaries.running:
            await asyncio.sleep(0)


async def test_a_drain_ends_what_runs_tells_the_gateway_and_begins_nothing_new() -> None:
    scene = Scene(GOOD)
    heard: list[str] = []

    async def cancelled(subject: str, _data: bytes, _headers: dict[str, str]) -> None:
        heard.append(subject)

    await scene.bus.listen("llm.cancel.*", cancelled)
    scene.summaries.consider(state())
    await scene.until_asked(1)
    await scene.summaries.end()
    assert scene.summaries.running == 0
    assert heard == [subjects.cancel(scene.asked[0].request_id)]
    scene.summaries.consider(state(conversation="b" * 20))
    assert scene.summaries.running == 0 and scene.written == []


async def test_a_short_conversation_is_left_alone() -> None:
    scene = Scene(GOOD)
    scene.summaries.consider(state(4))
    assert scene.summaries.running == 0
