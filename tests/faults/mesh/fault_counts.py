"""How much work a row was: what the log and the third party's record say of its own conversations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from parley_cli.operator import connected
from parley_mesh.bus import Stored
from parley_mesh.settings import MeshSettings
from parley_mesh.tail import Tail
from parley_proto import subjects
from parley_proto.conversation import Entry
from parley_proto.envelope import decode
from parley_proto.errors import TransientError
from parley_proto.specialist import TurnAnswered
from parley_testkit.history.reading import Numbered
from parley_testkit.history.records import Effect, Invoke

_ENTRIES = "conv.*.*"


class Work(NamedTuple):
    """`turns` were answered by specialists, with `tools` calls of tools; `effects` happened at the third party."""

    turns: int
    tools: int
    effects: int


async def work_of(who: MeshSettings, history: Sequence[Numbered], timeout_s: float = 60.0) -> Work:
    """The work of a history's conversations. TransientError when the log can't be read within `timeout_s`."""
    names = {record.conversation for _, record in history if isinstance(record, Invoke)}
    answered = await _answered(who, names, timeout_s)
    return Work(len(answered), sum(len(one.tools) for one in answered.values()), effects_of(history))


def effects_of(history: Sequence[Numbered]) -> int:
    """The third party remembers earlier rows as well: only what happened since the first message was this one's."""
    began = min((record.at for _, record in history if isinstance(record, Invoke)), default=0)
    return sum(isinstance(record, Effect) and record.at >= began for _, record in history)


async def _answered(who: MeshSettings, conversations: Collection[str], timeout_s: float) -> dict[str, TurnAnswered]:
    """The first answer to each turn: the one that counted."""
    found: dict[str, TurnAnswered] = {}

    def take(stored: Stored) -> None:
        if stored.subject.rpartition(".")[2] in conversations:
            entry: Entry = decode(stored.data, Entry)
            if isinstance(entry, TurnAnswered):
                found.setdefault(entry.turn_id, entry)

    async with connected(who) as client:
        tail = Tail(client, subjects.STREAM, _ENTRIES, take, start="all")
        await tail.open()
        await tail.catch_up(timeout_s)
        await tail.close()
    if not tail.caught_up:
        raise TransientError(f"The log could not be read within {timeout_s:g} s.")
    return found
