"""Options that can't be meant are refused before anything happens, with the option that is wrong."""

from __future__ import annotations

import pytest

from parley_cli.args import parser


@pytest.mark.parametrize(
    ("given", "option"),
    [
        (["chat", "--timeout", "nan"], "--timeout"),
        (["chat", "--timeout", "-1"], "--timeout"),
        (["chat", "--timeout", "inf"], "--timeout"),
        (["chat", "--token", "a\nb"], "--token"),
        (["chat", "--token", "ü"], "--token"),
        (["kb", "ingest", "--timeout", "0", "x"], "--timeout"),
        (["logs", "-n", "-5"], "--lines"),
        (["broadcast", "x", "--ttl", "0"], "--ttl"),
    ],
)
def test_the_wrong_option_is_named(given: list[str], option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(given)
    assert ended.value.code == 2
    assert option in capsys.readouterr().err.splitlines()[-1]


def test_what_makes_sense_is_taken() -> None:
    args = parser().parse_args(["chat", "--timeout", "0.5", "--token", "ey.J-_.x="])
    assert (args.timeout, args.token) == (0.5, "ey.J-_.x=")
