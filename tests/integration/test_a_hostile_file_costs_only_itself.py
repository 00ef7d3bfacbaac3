"""Real files, read by a real process that may die of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import psutil
import pytest

from parley_proto.errors import TransientError
from parley_rag.articles import folder_of, read_articles
from parley_rag.reading import Defaults, Reader
from parley_rag.reading.wire import LENGTH, Ask
from parley_testkit.processes import children

READER = "parley_rag.reading.child"
GOOD = b"# A title\n\nSome text."
# Some 80 microseconds a tag: it takes seconds, and nothing is wrong with it but that.
SLOW = b"<html>" + b"<p>x</p>" * 200_000


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Reader]]:
    """Makes readers; closed at the end."""
    made: list[Reader] = []

    def begin(timeout_s: float = 30.0, memory_mb: int = 1_024) -> Reader:
        made.append(Reader(timeout_s=timeout_s, memory_mb=memory_mb))
        return made[-1]

    yield begin
    for reader in made:
        await reader.close()


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def until_busy(child: psutil.Process, worked_s: float = 5.0) -> None:
    """Until it has begun with a file: to start takes it less than this, and a slow file three times as long."""
    await until(lambda: sum(child.cpu_times()[:2]) > worked_s, 90.0)


async def assert_reads(reader: Reader) -> None:
    """The next file is read as if nothing had been."""
    reading = await reader.read("good.md", GOOD)
    assert [document.title for document in reading.documents] == ["A title"]
    assert not reading.skipped


async def test_bytes_and_files_are_read_in_one_process(make: Callable[..., Reader], tmp_path: Path) -> None:
    reader = make()
    file = tmp_path / "spooled"
    file.write_bytes(GOOD)
    given = Defaults("billing", "en", "staff", "2026-01-01", "2026-12-31")
    from_bytes = await reader.read("a/b.md", GOOD, given)
    [child] = children(READER)
    assert await reader.read("a/b.md", file, given) == from_bytes
    assert children(READER) == [child]
    [document] = from_bytes.documents
    assert (document.document_id, document.access, document.source) == ("a/b", "staff", "a/b.md")


async def test_a_file_that_takes_too_long_costs_only_itself(make: Callable[..., Reader]) -> None:
    reader = make(timeout_s=1.0)
    await assert_reads(reader)
    [before] = children(READER)
    reading = await reader.read("slow.html", SLOW)
    assert [(skipped.document_id, skipped.reason) for skipped in reading.skipped] == [
        ("slow.html", "reading it took longer than 1 s")
    ]
    assert not before.is_running()
    await assert_reads(reader)


async def test_a_file_that_takes_too_much_memory_costs_only_itself(make: Callable[..., Reader]) -> None:
    reader = make(memory_mb=250)
    [skipped] = (await reader.read("greedy.txt", ("\U0001f600" + "a" * 40_000_000).encode())).skipped
    assert skipped.reason == "reading it takes more memory than it may have"
    await assert_reads(reader)


async def test_a_process_that_is_killed_once_loses_nothing(make: Callable[..., Reader]) -> None:
    reader = make()
    await assert_reads(reader)
    [idle] = children(READER)
    idle.kill()
    await assert_reads(reader)
    reading = asyncio.create_task(reader.read("slow.html", SLOW[: 6 + 8 * 30_000]))
    [busy] = children(READER)
    await until_busy(busy, 1.0)
    busy.kill()
    assert len((await reading).documents) == 1


async def test_a_file_that_ends_the_process_again_and_again_is_refused(make: Callable[..., Reader]) -> None:
    reader = make()
    reading = asyncio.create_task(reader.read("slow.html", SLOW))
    for _ in range(2):
        await until(lambda: len(children(READER)) == 1)
        [child] = children(READER)
        await until_busy(child)
        child.send_signal(signal.SIGSEGV)
        await until(lambda dead=child: not dead.is_running())  # type: ignore[misc]
    [skipped] = (await reading).skipped
    assert skipped.reason.startswith("reading it ended the process that reads (exit status -11)")
    await assert_reads(reader)


async def test_a_caller_that_gives_up_leaves_no_answer_for_the_next(make: Callable[..., Reader]) -> None:
    reader = make()
    await assert_reads(reader)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.read("slow.html", SLOW)
    await assert_reads(reader)


async def test_files_wait_for_each_other(make: Callable[..., Reader]) -> None:
    reader = make()
    readings = await asyncio.gather(*(reader.read(f"{n}.md", f"# T{n}\nText".encode()) for n in range(20)))
    assert [reading.documents[0].title for reading in readings] == [f"T{n}" for n in range(20)]
    assert len(children(READER)) == 1


async def test_a_reader_that_is_closed_leaves_no_process(make: Callable[..., Reader]) -> None:
    reader = make()
    await assert_reads(reader)
    waiting = asyncio.create_task(reader.read("slow.html", SLOW))
    await asyncio.sleep(0)
    await reader.close()
    with pytest.raises(TransientError) as caught:
        await waiting
    assert caught.value.code == "draining"
    assert not children(READER)


async def test_the_process_ends_when_its_service_is_gone(make: Callable[..., Reader]) -> None:
    reader = make()
    await assert_reads(reader)
    [child] = children(READER)
    # What remains of a service that was killed: the pipe is closed.
    process = reader._process
    assert process and process.stdin
    process.stdin.close()
    await until(lambda: process.returncode is not None)
    assert process.returncode == 0
    assert not child.is_running()


async def test_the_process_gives_up_a_file_that_nobody_waits_for_any_more() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "parley_rag.reading.child", "0.1", "1024"), stdin=PIPE, stdout=PIPE
    )
    assert process.stdin
    data = msgspec.msgpack.encode(Ask("slow.html", Defaults(), content=SLOW * 3))
    process.stdin.write(LENGTH.pack(len(data)) + data)
    async with asyncio.timeout(30):
        assert await process.wait() == -signal.SIGALRM


async def test_a_file_of_200_megabytes_is_refused_unread(make: Callable[..., Reader], tmp_path: Path) -> None:
    file = tmp_path / "huge.md"
    with file.open("wb") as opened:
        opened.truncate(200 << 20)
    reader = make(memory_mb=150)
    [skipped] = (await reader.read("huge.md", file)).skipped
    assert skipped.reason == "it is too large: it has 200 MB, the limit is 64 MB"
    [skipped] = (await reader.read("huge.md", bytes(65 << 20))).skipped
    assert skipped.reason == "it is too large: it has 65 MB, the limit is 64 MB"
    [skipped] = (await reader.read("gone.md", tmp_path / "gone.md")).skipped
    assert skipped.reason == "it can't be read: No such file or directory"


async def test_rows_come_in_slices_that_another_process_can_go_on_with(
    make: Callable[..., Reader], tmp_path: Path
) -> None:
    lines = [json.dumps({"id": f"d{n}", "text": f"Text {n}"}) for n in range(10_000)]
    lines[1_234] = "half a li"
    lines[9_000] = json.dumps({"id": "d3", "text": "Later"})
    file = tmp_path / "spooled"
    file.write_text("\n".join(lines), "utf-8")
    found, skipped, cursor = [], [], 0
    while cursor is not None:
        # A new process each time, as after a restart of the service.
        reader = make()
        for _ in range(5):
            part = await reader.read_slice(file, "rows.jsonl", start=cursor, count=500)
            found += [document.document_id for document in part.documents]
            skipped += [one.document_id for one in part.skipped]
            cursor = part.next
            if cursor is None:
                break
        await reader.close()
    assert len(found) == len(set(found)) == 9_998
    assert sorted(skipped) == ["d3", "rows.jsonl line 1235"]


async def test_a_step_through_a_large_file_is_not_a_reading_of_it(make: Callable[..., Reader], tmp_path: Path) -> None:
    file = tmp_path / "spooled"
    with file.open("w", encoding="utf-8") as opened:
        opened.writelines(json.dumps({"id": f"d{n}", "text": "word " * 50}) + "\n" for n in range(100_000))
    reader, began = make(), time.perf_counter()
    first = await reader.read_slice(file, "rows.jsonl", start=0, count=500)
    looked_through = time.perf_counter() - began
    cursor, began, steps = first.next, time.perf_counter(), 0
    while cursor is not None:
        cursor = (await reader.read_slice(file, "rows.jsonl", start=cursor, count=500)).next
        steps += 1
    assert steps == 199
    assert (time.perf_counter() - began) / steps < looked_through / 10


async def test_a_file_that_changes_between_slices_is_read_again(make: Callable[..., Reader], tmp_path: Path) -> None:
    file = tmp_path / "spooled"
    rows = [json.dumps({"id": f"d{n}", "text": "old"}) for n in range(4)]
    file.write_text("\n".join(rows), "utf-8")
    reader = make()
    first = await reader.read_slice(file, "rows.jsonl", count=2)
    file.write_text("\n".join(rows).replace("old", "newer"), "utf-8")
    second = await reader.read_slice(file, "rows.jsonl", start=first.next or 0, count=2)
    assert [document.text for document in (*first.documents, *second.documents)] == ["old", "old", "newer", "newer"]


def test_an_article_that_can_not_be_read_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "billing").mkdir()
    (tmp_path / "billing" / "fees.md").write_bytes(GOOD)
    (tmp_path / "page.html").write_bytes(b"<h1>Page</h1><p>Text</p>")
    (tmp_path / "bad.md").write_bytes(bytes(2_000))
    (tmp_path / "wrong.md").write_text("---\nvalid_from: soon\n---\nText", "utf-8")
    (tmp_path / "rows.jsonl").write_text('{"id":"billing/fees","text":"Again"}', "utf-8")
    (tmp_path / ".hidden.md").write_bytes(GOOD)
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / "loop").symlink_to(tmp_path)
    reading = read_articles(tmp_path)
    assert {document.document_id for document in reading.documents} == {"page.html", "billing/fees"}
    assert {skipped.document_id for skipped in reading.skipped} == {"bad.md", "wrong", "billing/fees"}
    assert all(skipped.reason for skipped in reading.skipped)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_article_without_permission_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "good.md").write_bytes(GOOD)
    (tmp_path / "closed.md").write_bytes(GOOD)
    (tmp_path / "closed.md").chmod(0)
    (tmp_path / "folder").mkdir(mode=0)
    reading = read_articles(tmp_path)
    assert [document.document_id for document in reading.documents] == ["good"]
    assert {skipped.document_id for skipped in reading.skipped} == {"closed.md", "folder"}


def test_a_folder_that_is_gone_is_read_later(tmp_path: Path) -> None:
    with pytest.raises(TransientError):
        read_articles(tmp_path / "gone")


def test_the_articles_of_the_package_are_all_read() -> None:
    folder = folder_of("")
    assert folder
    reading = read_articles(folder)
    assert not reading.skipped
    assert len(reading.documents) == len(list(folder.rglob("*.md"))) > 50
    assert all(document.specialty != "general" for document in reading.documents if "/" not in document.document_id)
