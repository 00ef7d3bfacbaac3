from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from parley_cli.commands.dead import row_of, why_no_retry
from parley_cli.operator import identity
from parley_cli.supervise.home import Home
from parley_proto.errors import UNKNOWN_OUTCOME
from parley_proto.specialist import DeadLetter
from parley_testkit.samples import AT, CONVERSATION, LINE

LETTER = DeadLetter("d" * 32, CONVERSATION, "attempts", "The model\nfell silent.", AT, 7, "billing", messages=[LINE])


@pytest.mark.parametrize("code", ["attempts", "entry", "no_room"])
def test_the_words_of_a_customer_are_answered_after_all(code: str) -> None:
    assert why_no_retry(msgspec.structs.replace(LETTER, code=code)) == ""


def test_what_may_have_happened_is_not_tried_again_and_the_operator_hears_what_to_do() -> None:
    refused = why_no_retry(msgspec.structs.replace(LETTER, code=UNKNOWN_OUTCOME))
    assert "may have happened" in refused and "drop it" in refused and LETTER.dead_id in refused


def test_without_words_there_is_nothing_to_answer() -> None:
    assert "no words" in why_no_retry(msgspec.structs.replace(LETTER, messages=[]))


def test_the_list_shows_the_reason_on_the_letters_own_line() -> None:
    assert row_of(LETTER)[-2:] == ("attempts", "The model fell silent.")


def test_it_goes_to_the_shard_that_the_mesh_reads(tmp_path: Path) -> None:
    outside = {"NATS_URL": "nats://127.0.0.1:1", "PARLEY_MESH_SHARDS": "16"}
    assert identity(Home.at(str(tmp_path)), outside).shards == 16
