"""Real conversation processes on a real log, and an archive in a real PostgreSQL: customers who leave and come back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from archiver_log import all_settled
from archiver_servers import archived, until

from parley_mesh.bus import Stored
from parley_proto import subjects
from parley_proto.archive import RetireRequest
from parley_proto.conversation import Checkpoint
from parley_proto.envelope import Identity, decode, digest, encode, new_id
from parley_proto.errors import TransientError
from parley_testkit.bench import Bench
from parley_testkit.samples import IDENTITY, customer_message


class Scene:
    """What tests do and see; the archiver itself is each test's own."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.bus = bench.bus

    async def opened(self, text: str = "charged twice", identity: Identity = IDENTITY) -> str:
        """A new conversation with one answered message."""
        conversation = new_id("c")
        await self.resent(conversation, text, "1", identity)
        await until(self.answered(conversation, text))
        return conversation

    async def said(self, conversation: str, text: str, client_id: str) -> None:
        """Say something and wait for the answer, which repeats it."""
        await self.bench.send(conversation, text, client_id)
        await until(self.answered(conversation, text))

    def answered(self, conversation: str, text: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return text in self.answers(conversation)

        return look

    def answers(self, conversation: str) -> list[str]:
        return list(self.bench.answers[conversation].values())

    async def resent(self, conversation: str, text: str, client_id: str, identity: Identity = IDENTITY) -> int:
        """A message as it comes beyond the log's duplicate window, where it may be a repeat; its sequence."""
        message_id = digest("default", conversation, client_id)
        message = msgspec.structs.replace(customer_message(text, client_id, message_id=message_id), identity=identity)
        return (await self.bus.append(subjects.conv(conversation), encode(message))).seq

    async def head(self, conversation: str) -> Stored:
        stored = await self.bus.last(subjects.checkpoint(conversation))
        assert stored is not None
        return stored

    async def state(self, conversation: str) -> Checkpoint:
        found: Checkpoint = decode((await self.head(conversation)).data, Checkpoint)
        return found

    async def is_retired(self, conversation: str) -> bool:
        return not (await self.head(conversation)).data and not await self.left(conversation)

    async def left(self, conversation: str) -> dict[str, int]:
        """How many entries of the conversation each subject of the log still holds, beside its checkpoint."""
        counts = {}
        for entries in subjects.entries_of(conversation):
            info = await self.bench.client.jetstream().stream_info(subjects.STREAM, subjects_filter=entries)
            counts.update(info.state.subjects or {})
        return counts

    async def retire(self, conversation: str) -> None:
        """As the operator's command does, as soon as it may go."""

        async def asked() -> bool:
            try:
                await self.bus.request(subjects.ARCHIVE_RETIRE, encode(RetireRequest(conversation)), timeout=10)
            except TransientError as error:
                assert error.code == "not_yet"
                return False
            return True

        await until(asked)

    async def handled(self, seq: int) -> bool:
        """The owner is done with every entry up to `seq`."""
        for shard in range(subjects.SHARDS):
            info = await self.bench.client.jetstream().consumer_info(subjects.STREAM, f"conv-{shard}")
            if info.num_pending or info.num_ack_pending:
                return False
        return seq > 0

    async def caught_up(self, url: str) -> bool:
        """Everything in the log is archived."""
        return await all_settled(self.bench.client) and await archived(url) > 0
