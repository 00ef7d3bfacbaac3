from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_cli.errors import CommandError
from parley_cli.supervise import ports

NAMES = ["gateway-1", "nats-1", "rag-1", "rag-2"]


def choose(wishes: dict[str, int], kept: dict[str, int], taken: set[int]) -> dict[str, int]:
    return ports.choose(wishes, kept, lambda port: port not in taken)


def test_a_free_wish_is_granted() -> None:
    assert choose({"gateway-1": 8080}, {"gateway-1": 8081}, set()) == {"gateway-1": 8080}


def test_a_child_gets_the_port_back_that_it_had_while_its_wish_is_taken() -> None:
    assert choose({"gateway-1": 8080}, {"gateway-1": 8085}, {8080}) == {"gateway-1": 8085}


def test_else_it_gets_the_next_free_one_and_that_is_said() -> None:
    wishes = {"gateway-1": 8080}
    found = choose(wishes, {}, {8080, 8081})
    assert found == {"gateway-1": 8082}
    assert ports.changed(wishes, found) == "Some ports are taken: gateway-1 uses 8082 (not 8080)."
    assert ports.changed(wishes, wishes) == ""


def test_ports_that_others_of_the_mesh_have_are_not_given_away() -> None:
    found = ports.choose({"rag-2": 8100}, {}, lambda port: True, frozenset({8100, 8101}))
    assert found == {"rag-2": 8102}


def test_where_nothing_is_free_a_sentence_says_so() -> None:
    with pytest.raises(CommandError, match="no free port for gateway-1"):
        ports.choose({"gateway-1": 8080}, {}, lambda port: False)


@given(
    wishes=st.dictionaries(st.sampled_from(NAMES), st.integers(8000, 8005)),
    kept=st.dictionaries(st.sampled_from(NAMES), st.integers(8000, 8005)),
    taken=st.sets(st.integers(8000, 8010)),
)
def test_no_two_children_ever_share_a_port(wishes: dict[str, int], kept: dict[str, int], taken: set[int]) -> None:
    found = choose(wishes, kept, taken)
    assert set(found) == set(wishes)
    assert len(set(found.values())) == len(found)
    assert not taken & set(found.values())


def test_a_port_with_a_listener_is_not_free_and_afterwards_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not ports.is_free("127.0.0.1", port)
    assert ports.is_free("127.0.0.1", port)
