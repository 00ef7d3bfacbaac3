"""A keeper outlives a fork that fails and notes that can't be written: only too many falls end it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parley_cli.errors import CommandError
from parley_cli.supervise import keeper as module
from parley_cli.supervise.intensity import Intensity
from parley_cli.supervise.keeper import Child, FellTooOftenError, Keeper
from parley_cli.supervise.process import Launch, Process, start


class Spawning:
    """`start` of a process, which fails as often as `failures` says."""

    def __init__(self) -> None:
        self.failures = 0
        self.tries = 0

    async def __call__(self, launch: Launch) -> Process:
        self.tries += 1
        if self.failures:
            self.failures -= 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await start(launch)


@pytest.fixture
def spawning(monkeypatch: pytest.MonkeyPatch) -> Spawning:
    found = Spawning()
    monkeypatch.setattr(module, "start", found)
    return found


def kept(
    folder: Path,
    gave_up: list[CommandError],
    changed: Callable[[], None] = lambda: None,
    say: Callable[[str], None] = lambda _line: None,
) -> Keeper:
    async def ready() -> str:
        return ""

    launch = Launch([sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ), folder / "log")
    child = Child("example-1", "example", 0, launch, ready)
    return Keeper(child, Intensity(3, 60.0), changed, lambda _keeper, error: gave_up.append(error), say)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.02)


async def test_it_is_said_when_and_how_it_fell(tmp_path: Path, spawning: Spawning) -> None:
    said: list[str] = []
    keeper = kept(tmp_path, [], say=said.append)
    await keeper.start()
    keeper.kill(9)
    await until(lambda: bool(said))
    await keeper.stop(5.0)
    assert len(said) == 1 and re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ example-1 fell \(killed by signal 9\) and was started again\.", said[0]
    )


async def test_a_fork_that_fails_once_is_tried_again(tmp_path: Path, spawning: Spawning) -> None:
    gave_up: list[CommandError] = []
    keeper = kept(tmp_path, gave_up)
    await keeper.start()
    spawning.failures = 1
    keeper.kill(9)
    await until(lambda: keeper.restarts == 1)
    assert spawning.tries == 3 and not gave_up
    await keeper.stop(1.0)


async def test_what_fails_again_and_again_fell_too_often(tmp_path: Path, spawning: Spawning) -> None:
    gave_up: list[CommandError] = []
    keeper = kept(tmp_path, gave_up)
    await keeper.start()
    spawning.failures = 99
    keeper.kill(9)
    await until(lambda: bool(gave_up))
    assert isinstance(gave_up[0], FellTooOftenError) and "Resource temporarily unavailable" in str(gave_up[0])
    await keeper.stop(1.0)


async def test_notes_that_can_not_be_written_do_not_end_it(tmp_path: Path, spawning: Spawning) -> None:
    gave_up: list[CommandError] = []
    full = [False]

    def changed() -> None:
        if full[0]:
            full[0] = False
            raise OSError(28, "No space left on device")

    keeper = kept(tmp_path, gave_up, changed)
    await keeper.start()
    full[0] = True
    keeper.kill(9)
    await until(lambda: keeper.restarts == 1)
    keeper.kill(9)
    await until(lambda: keeper.restarts == 2)
    assert spawning.tries == 3 and not gave_up
    await keeper.stop(1.0)


async def test_an_order_that_can_not_be_carried_out_is_told_and_noted(tmp_path: Path, spawning: Spawning) -> None:
    keeper = kept(tmp_path, [])
    await keeper.start()
    spawning.failures = 1
    with pytest.raises(CommandError, match="can't be started"):
        await keeper.replace(keeper.child, 1.0)
    assert "can't be started" in keeper.given_up
    with pytest.raises(CommandError, match="can't be started"):
        await module.Keeper.wait_ready(_never_ready(keeper), 30.0)


def _never_ready(keeper: Keeper) -> Keeper:
    async def reason() -> str:
        return "not yet"

    keeper.child = Child("example-1", "example", 0, keeper.child.launch, reason)
    return keeper
