from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley_cli.errors import CommandError
from parley_cli.supervise import secrets, state
from parley_cli.supervise.home import Home
from parley_cli.supervise.state import ChildState, State


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "data")
    made.make()
    return made


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def own_state(url: str = "http://127.0.0.1:8080") -> State:
    return State(os.getpid(), state.birth(os.getpid()), 0.0, urls=[url])


def test_what_was_written_is_read_again(home: Home) -> None:
    written = own_state()
    written.children["rag-1"] = ChildState("rag", 1, 2.0, 8101, restarts=3)
    state.write(home, written)
    assert state.read(home) == written
    assert state.running(home) == written


def test_notes_that_were_cut_off_are_no_notes(home: Home) -> None:
    home.state.write_text('{"pid": 1, "born"')
    assert state.read(home) is None


def test_a_supervisor_that_has_gone_is_not_running(home: Home, sleeper: subprocess.Popen[bytes]) -> None:
    state.write(home, State(sleeper.pid, state.birth(sleeper.pid), 0.0))
    assert state.running(home) is not None
    sleeper.kill()
    sleeper.wait()
    assert state.running(home) is None


def test_another_process_with_the_same_number_is_not_taken_for_it() -> None:
    assert not state.is_alive(os.getpid(), state.birth(os.getpid()) + 1)
    assert not state.is_alive(os.getpid(), 0.0)


def test_a_process_that_only_waits_to_be_collected_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    born = state.birth(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not state.is_alive(sleeper.pid, born)


def test_children_left_over_are_ended_and_strangers_are_not(home: Home, sleeper: subprocess.Popen[bytes]) -> None:
    left = own_state()
    left.children["rag-1"] = ChildState("rag", sleeper.pid, state.birth(sleeper.pid), 8101)
    left.children["rag-2"] = ChildState("rag", os.getpid(), state.birth(os.getpid()) + 1, 8102)
    assert state.end_left_over(left) == ["rag-1"]
    assert sleeper.wait(10) != 0


def test_the_second_to_lock_is_told_who_has_it(home: Home) -> None:
    state.write(home, own_state())
    with (
        state.held_lock(home),
        pytest.raises(CommandError, match=rf"already runs here at http://127.0.0.1:8080 .pid {os.getpid()}") as caught,
        state.held_lock(home),
    ):
        pass
    assert caught.value.exit_code == 2


def test_the_lock_can_be_taken_again_afterwards(home: Home) -> None:
    with state.held_lock(home):
        pass
    with state.held_lock(home):
        pass


def test_secrets_are_made_once_and_only_their_owner_reads_them(home: Home) -> None:
    made = secrets.load(home)
    first = (made.nats_password("rag"), made.postgres_password("archiver"), made.token("ticket"), made.key("master"))
    secrets.save(home, made)
    again = secrets.load(home)
    assert first == (
        again.nats_password("rag"),
        again.postgres_password("archiver"),
        again.token("ticket"),
        again.key("master"),
    )
    assert len(set(first)) == 4 and all(len(secret) >= 32 for secret in first)
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o600


def test_damaged_secrets_are_not_replaced_in_silence(home: Home) -> None:
    home.secrets.write_text("{")
    with pytest.raises(CommandError, match=r"secrets\.json can't be read"):
        secrets.load(home)


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    deep = Home(tmp_path / ("x" * 60) / ("y" * 60))
    deep.make()
    assert len(str(deep.control)) < 100
    assert deep.control == deep.control
    assert Home.at(str(tmp_path)).control == tmp_path / "control.sock" or len(str(tmp_path)) > 80
