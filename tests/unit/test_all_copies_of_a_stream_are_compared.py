from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_cli.supervise.replicas import Copies, Copy, is_final, judge, merge, to_mend, told

WHOLE = Copy(messages=100, bytes=9000, first_seq=1, last_seq=120, num_deleted=20, num_subjects=7)
LESS = msgspec.structs.replace(WHOLE, messages=90, bytes=8000, num_deleted=30)
NODES = ["nats-1", "nats-2", "nats-3"]


def looks(*copies: Copy | None) -> list[Copies]:
    """The same seen three times: nothing moves."""
    return [dict(zip(NODES, copies, strict=True))] * 3


def jsz(copies: dict[str, Copy], *, leader: str, others: list[str]) -> Any:
    """What a node's monitoring tells of its own copies of the streams."""
    cluster = {"leader": leader, "replicas": [{"name": other} for other in others]}
    streams = [{"name": name, "cluster": cluster, "state": msgspec.structs.asdict(c)} for name, c in copies.items()]
    return {"account_details": [{"name": "$G", "stream_detail": streams}]}


def test_copies_that_are_alike_are_the_same() -> None:
    found = judge("log", looks(WHOLE, WHOLE, WHOLE))
    assert (found.verdict, found.odd) == ("same", [])


@pytest.mark.parametrize("figure", ["messages", "bytes", "first_seq", "last_seq", "num_deleted", "num_subjects"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_one_that_differs_in_any_figure_is_named(figure: str, place: int) -> None:
    copies = [WHOLE, WHOLE, WHOLE]
    copies[place] = msgspec.structs.replace(WHOLE, **{figure: getattr(WHOLE, figure) - 1})
    found = judge("log", looks(*copies))
    assert (found.verdict, found.odd) == ("differs", [NODES[place]])
    assert f"{NODES[place]} differs in log" in told([found])


def test_a_node_that_has_none_where_others_have_one_differs() -> None:
    assert judge("log", looks(WHOLE, Copy(), WHOLE)).verdict == "differs"


def test_a_node_that_does_not_answer_is_not_called_different() -> None:
    found = judge("log", looks(WHOLE, WHOLE, None))
    assert (found.verdict, found.odd) == ("unreachable", ["nats-3"])
    assert to_mend([found], "nats-3") == []


@pytest.mark.parametrize(
    "copies", [(WHOLE, LESS, Copy()), (WHOLE, None, None), (None, None, None), (WHOLE, LESS, None)]
)
def test_without_a_majority_nobody_is_right(copies: tuple[Copy | None, ...]) -> None:
    found = judge("log", looks(*copies))
    assert found.verdict == "no majority"
    assert all(to_mend([found], node) == [] for node in NODES)


def test_what_moved_between_the_looks_is_no_difference() -> None:
    begin, end = WHOLE, msgspec.structs.replace(WHOLE, messages=110, bytes=9900, last_seq=130)
    half = msgspec.structs.replace(WHOLE, messages=104, bytes=9300, last_seq=124)
    moving = [dict.fromkeys(NODES, begin), {"nats-1": half, "nats-2": begin, "nats-3": end}, dict.fromkeys(NODES, end)]
    assert judge("log", moving).verdict == "same"


def test_a_loss_greater_than_what_moved_is_seen_while_it_moves() -> None:
    end = msgspec.structs.replace(WHOLE, messages=103, bytes=9300, last_seq=123)
    lost = [{**dict.fromkeys(NODES, at), "nats-3": LESS} for at in (WHOLE, WHOLE, end)]
    assert judge("log", lost).odd == ["nats-3"]


def test_only_where_it_is_the_one_that_differs_a_node_is_mended() -> None:
    findings = [judge("a", looks(WHOLE, LESS, WHOLE)), judge("b", looks(WHOLE, WHOLE, WHOLE))]
    findings += [judge("c", looks(LESS, WHOLE, WHOLE)), judge("d", looks(WHOLE, LESS, Copy()))]
    assert to_mend(findings, "nats-2") == ["a"]
    assert to_mend(findings, "nats-1") == ["c"]
    assert told(findings[1:2]) == "All copies of all streams (1) are the same."


def test_each_node_is_believed_about_its_own_copy_only() -> None:
    answers = {
        "nats-1": jsz({"log": WHOLE, "small": LESS}, leader="nats-1", others=["nats-2", "nats-3"]),
        "nats-2": jsz({"log": LESS}, leader="nats-1", others=["nats-1", "nats-3"]),
        "nats-3": None,
    }
    found = merge(answers)
    assert found["log"] == {"nats-1": WHOLE, "nats-2": LESS, "nats-3": None}
    assert found["small"] == {"nats-1": LESS, "nats-2": Copy(), "nats-3": None}


def test_a_stream_with_one_copy_has_nothing_to_compare() -> None:
    assert (
        merge({"nats-1": jsz({"log": WHOLE}, leader="nats-1", others=[]), "nats-2": jsz({}, leader="", others=[])})
        == {}
    )


@given(st.lists(st.sampled_from([WHOLE, LESS, Copy(), None]), min_size=3, max_size=3))
def test_whoever_is_named_is_in_the_minority(copies: list[Copy | None]) -> None:
    found = judge("log", looks(*copies))
    if found.verdict == "differs":
        left = [copy for node, copy in found.copies.items() if node not in found.odd]
        assert len(left) == 2 and left[0] == left[1] is not None


def test_nobody_waits_for_one_that_has_caught_up_and_differs_all_the_same() -> None:
    lost = judge("log", looks(WHOLE, LESS, WHOLE))
    late = judge("log", looks(WHOLE, msgspec.structs.replace(WHOLE, messages=99, last_seq=119), WHOLE))
    away = judge("log", looks(WHOLE, None, WHOLE))
    assert is_final([lost], steady=True) and not is_final([lost], steady=False)
    assert not is_final([late], steady=True) and not is_final([away], steady=True)
    assert is_final([judge("log", looks(WHOLE, WHOLE, WHOLE))], steady=False)
