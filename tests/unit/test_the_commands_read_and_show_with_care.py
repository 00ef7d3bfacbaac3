from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley_cli.args import parser
from parley_cli.commands.conversations import line_of
from parley_cli.commands.logs import last_lines
from parley_cli.errors import CommandError
from parley_cli.supervise.probe import http_reason
from parley_cli.supervise.process import rotate, said_last
from parley_cli.survey import service_of
from parley_cli.table import print_table
from parley_cli.uploads import files_of
from parley_proto.archive import Record


def test_the_last_lines_are_the_last_and_an_unfinished_one_waits(tmp_path: Path) -> None:
    log = tmp_path / "rag-1.log"
    log.write_text("".join(f"line {number}\n" for number in range(30_000)) + "not yet fin")
    lines, place = last_lines(log, 3)
    assert lines == ["line 29997", "line 29998", "line 29999"]
    assert log.read_bytes()[place:] == b"not yet fin"
    assert last_lines(log, 0)[0] == []
    assert len(last_lines(log, 100_000)[0]) == 30_000


def test_an_empty_log_has_no_lines(tmp_path: Path) -> None:
    log = tmp_path / "rag-1.log"
    log.touch()
    assert last_lines(log, 5) == ([], 0)


def test_a_log_that_has_grown_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "rag-1.log"
    rotate(log, 10)
    log.write_text("short")
    rotate(log, 10)
    assert log.exists()
    log.write_text("much too long")
    rotate(log, 10)
    assert not log.exists() and (tmp_path / "rag-1.log.1").read_text() == "much too long"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("one\ntwo\n\n", "two"),
        ('{"event": "draining"}\n{"event": "nats error", "reason": "refused"}\n', "nats error: refused"),
        ('{"event": "failed", "stack": "Traceback\\n  File x\\nValueError: no"}\n', "failed: ValueError: no"),
        ("{not json\n", "{not json"),
        ("", ""),
    ],
)
def test_the_last_words_of_a_child_are_put_plainly(tmp_path: Path, written: str, said: str) -> None:
    log = tmp_path / "x.log"
    log.write_text(written)
    assert said_last(log) == said
    assert said_last(tmp_path / "never-started.log") == ""


def test_a_folder_is_sent_with_paths_as_names_and_what_is_hidden_stays(tmp_path: Path) -> None:
    (tmp_path / "billing").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("billing/refunds.md", "rows.jsonl", "picture.png", ".git/config", "billing/.draft.md"):
        (tmp_path / name).touch()
    sent = [name for name, _ in files_of([tmp_path])]
    assert sent == ["billing/refunds.md", "picture.png", "rows.jsonl"]
    assert [name for name, _ in files_of([tmp_path / "billing" / "refunds.md"])] == ["refunds.md"]


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no file or folder"):
        list(files_of([tmp_path / "nowhere"]))


def test_a_record_is_one_line_whatever_was_said() -> None:
    record = Record(12, "out.c", "MessageShown", 0, {"role": "customer", "text": "two\nlines\x1b[31m"})
    line = line_of(record)
    assert "\n" not in line and "\x1b" not in line
    assert line.startswith("1970-01-01 00:00:00Z") and "customer" in line


def test_durables_are_counted_for_the_service_that_they_feed() -> None:
    names = ["conv-0", "conv-63", "turn-billing-blue-normal", "turn-my-desk-blue-consult", "archiver", "x"]
    services = ["conversation", "conversation", "billing", "my-desk", "archiver", ""]
    assert [service_of(name) for name in names] == services


def test_a_table_is_as_wide_as_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "ready"], [["rag-1", "yes"], ["conversation-1", "no"]])
    assert capsys.readouterr().out == "NAME            READY\nrag-1           yes\nconversation-1  no\n"


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["kb"], ["chat", "a", "b"], ["logs", "-n", "x"]])
def test_a_wrong_call_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(arguments)
    assert caught.value.code == 2


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server that answers /ready with 200, /why with a reason, and anything else with what is not HTTP."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
        replies = {
            b"/ready": b"HTTP/1.1 200 OK\r\n\r\n{}",
            b"/why": b'HTTP/1.1 503 Busy\r\n\r\n{"reason": "rag is starting."}',
            b"/bare": b"HTTP/1.1 500 Oops\r\n\r\n",
        }
        writer.write(replies.get(path, b"what?"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/ready", ""), ("/why", "rag is starting."), ("/bare", "answers 500."), ("/odd", "does not answer yet.")],
)
async def test_a_probe_tells_the_services_own_reason(port: int, path: str, reason: str) -> None:
    found = await http_reason("127.0.0.1", port, path)
    assert found.endswith(reason) and bool(found) == bool(reason)
