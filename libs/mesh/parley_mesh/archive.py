"""A conversation whose checkpoint has left the log comes back from the archive."""

from __future__ import annotations

from parley_mesh.bus import Bus, Stored
from parley_mesh.telemetry import inject
from parley_proto import subjects
from parley_proto.archive import RETIRED, CheckpointReply, CheckpointRequest
from parley_proto.conversation import Checkpoint
from parley_proto.envelope import decode, encode
from parley_proto.errors import ParleyError, TransientError

RECALL_S = 2.0


async def recall(bus: Bus, conversation: str, marker: Stored) -> Checkpoint:
    """The checkpoint that `marker` stands for.

    TransientError as long as the archive does not give back that very one, whatever its reason: nothing is ever begun
    at 0 because nobody answered (design.md, 'What may expire').
    """
    request = encode(CheckpointRequest(conversation))
    try:
        data = await bus.request(subjects.ARCHIVE_CHECKPOINT, request, timeout=RECALL_S, headers=inject())
        reply: CheckpointReply = decode(data, CheckpointReply)
    except ParleyError as error:
        raise TransientError(
            f"Conversation {conversation} is in the archive, which does not give it back: {error.message}",
            code="archive_away",
        ) from error
    wanted = marker.headers.get(RETIRED, "")
    if wanted and wanted != str(reply.revision):
        raise TransientError(
            f"The archive has revision {reply.revision} of conversation {conversation}, but {wanted} is the newest: "
            "restore PostgreSQL from a backup that has it.",
            code="archive_behind",
        )
    return reply.checkpoint
