"""proto/golden holds one frozen encoding of each message: what was written once must be readable for ever."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from parley_proto.envelope import decode, encode
from parley_testkit.samples import MESSAGES

GOLDEN = Path(__file__).parents[2] / "proto" / "golden"
SAMPLES = {type(message).__name__: message for message in MESSAGES}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_frozen_bytes_of_each_message_still_decode_to_the_same_message(name: str) -> None:
    file = GOLDEN / f"{name}.json"
    if os.environ.get("PARLEY_WRITE_GOLDEN") and not file.exists():
        file.write_bytes(encode(SAMPLES[name]) + b"\n")
    assert decode(file.read_bytes(), type(SAMPLES[name])) == SAMPLES[name]


def test_every_frozen_message_has_its_sample() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == set(SAMPLES)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_field_from_a_newer_version_does_not_stop_an_older_reader(name: str) -> None:
    body = msgspec.json.decode((GOLDEN / f"{name}.json").read_bytes())
    newer = msgspec.json.encode(body | {"from_the_future": 1})
    assert decode(newer, type(SAMPLES[name])) == SAMPLES[name]
