"""The mesh's own record of a run: what the log says was shown, by whom and in which epoch."""

from __future__ import annotations

from collections.abc import Collection

from parley_cli.operator import connected
from parley_mesh.bus import Stored
from parley_mesh.settings import MeshSettings
from parley_mesh.tail import Tail
from parley_proto import subjects
from parley_proto.conversation import MessageShown, OwnerChanged, Shown
from parley_proto.envelope import decode
from parley_proto.errors import TransientError
from parley_testkit.history.recorder import Recorder
from parley_testkit.history.records import Commit


async def record_commits(
    who: MeshSettings, conversations: Collection[str], recorder: Recorder, timeout_s: float
) -> int:
    """Write a commit for each entry of the resume logs of `conversations`; how many there are.

    TransientError when the log can't be read to its end within `timeout_s`.
    """
    wanted, found = {subjects.out(name) for name in conversations}, list[Stored]()

    def take(stored: Stored) -> None:
        if stored.subject in wanted:
            found.append(stored)

    async with connected(who) as client:
        tail = Tail(client, subjects.STREAM, subjects.ALL_OUT, take, start="all")
        await tail.open()
        await tail.catch_up(timeout_s)
        await tail.close()
    if not tail.caught_up:
        raise TransientError(f"The log could not be read within {timeout_s:g} s.")
    commits = [commit for stored in found if (commit := commit_of(stored))]
    for commit in commits:
        recorder.write(commit)
    return len(commits)


def commit_of(stored: Stored) -> Commit | None:
    """What an entry says about ownership; None for what the customer said, notices and ended runs."""
    conversation = stored.subject.rpartition(".")[2]
    match decode(stored.data, Shown):
        case MessageShown() as shown if shown.role != "customer":
            message, epoch, owner = shown.message_id, shown.epoch, shown.specialty
        case OwnerChanged() as change:
            message, epoch, owner = "", change.epoch, change.owner
        case _:
            return None
    return Commit(
        conversation=conversation,
        message=message,
        epoch=epoch,
        owner=owner,
        revision=stored.seq,
        at=stored.at,
    )
