"""The fault tests believe the bench when it says that nothing was shown twice."""

from __future__ import annotations

from parley_mesh.bus import Stored
from parley_proto import subjects
from parley_proto.conversation import MessageShown
from parley_proto.envelope import encode
from parley_testkit.bench import Bench
from parley_testkit.samples import AT, CONVERSATION


def test_the_same_answer_at_two_places_of_the_log_is_seen() -> None:
    bench = Bench()
    for seq, message_id in ((1, "a-1"), (2, "a-2"), (3, "a-1")):
        answer = MessageShown(message_id, "assistant", "The same words.", AT)
        bench._shown(Stored(subjects.out(CONVERSATION), seq, encode(answer), {}, AT))
    assert bench.shown_twice == ["a-1"]
    assert len(bench.answers[CONVERSATION]) == 2
