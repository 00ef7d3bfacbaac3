"""Keeps one child running: starts it, sees it fall, starts it again, gives up when it falls too often."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import msgspec

from parley_cli.errors import CommandError
from parley_cli.supervise.intensity import Intensity
from parley_cli.supervise.process import Launch, Process, said_last, start
from parley_mesh.tasks import end

SETTINGS_ARE_WRONG = 2
_PROBE_EVERY_S = 0.05


async def _nothing() -> None:
    return None


class Child(msgspec.Struct, frozen=True):
    """What is to be kept: how it starts, how it is asked whether it is ready, what must happen before a start."""

    name: str
    service: str
    port: int
    launch: Launch
    reason: Callable[[], Awaitable[str]]
    before: Callable[[], Awaitable[None]] = _nothing
    host: str = "127.0.0.1"


class FellTooOftenError(CommandError):
    """A child is not started again by itself. `spared` says so where the mesh goes on without it."""

    def __init__(self, name: str, how: str, said: str) -> None:
        super().__init__(f"{name} fell too often ({how}), so everything was stopped. Its last words: {said}")
        self.spared = (
            f"{name} fell too often ({how}); others do its work, and `parley restart {name}` starts it again. "
            f"Its last words: {said}"
        )


class Keeper:
    """One child and its life. `changed` is called after each start and end, `gave_up` with the reason for no more, and
    `say` with a line for whoever asks later when and how it fell.

    `given_up` is empty, or the sentence why the child is not started again by itself.
    """

    def __init__(
        self,
        child: Child,
        intensity: Intensity,
        changed: Callable[[], None],
        gave_up: Callable[[Keeper, CommandError], None],
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.child = child
        self.restarts = 0
        self.since = 0.0
        self.reason = "has not been started."
        self.given_up = ""
        self.process: Process | None = None
        self._intensity = intensity
        self._changed = changed
        self._gave_up = gave_up
        self._say = say
        self._was_ready = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the child, and again whenever it falls, until `stop`."""
        await self._begin()
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.child.name}")

    async def wait_ready(self, within_s: float) -> None:
        """Return when the child says that it is ready; CommandError with its reason when it takes too long."""
        deadline = time.monotonic() + within_s
        while reason := await self.child.reason():
            self.reason = reason
            if self.given_up:
                raise CommandError(self.given_up)
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{self.child.name} is not ready after {within_s:g} s: {reason}{self._last_words()} "
                    "Start it again, it goes on where it stopped, or wait longer with a higher PARLEY_UP_READY_S."
                )
            await asyncio.sleep(_PROBE_EVERY_S)
        self.reason = ""
        self._was_ready = True

    async def stop(self, patience_s: float) -> None:
        """End the child for good, by force when its patience is over."""
        await end(self._task)
        if self.process and self.process.exit_code is None:
            await self.process.stop(patience_s)

    async def replace(self, child: Child, patience_s: float, between: Callable[[], None] = lambda: None) -> None:
        """Stop the child, do what is to be done `between`, start `child` in its place: it was asked for, so no fall."""
        await self.stop(patience_s)
        try:
            between()
        finally:
            self.child = child
            self.given_up = ""
            self._intensity.forgive()
            self._was_ready = False
            self.restarts += 1
            await self._started_as_ordered()

    async def _started_as_ordered(self) -> None:
        try:
            await self.start()
        except CommandError as error:
            self.given_up = str(error)
            raise

    def kill(self, number: int) -> None:
        if self.process and self.process.exit_code is None:
            self.process.signal(number)

    async def _begin(self) -> None:
        await self.child.before()
        try:
            self.process = await start(self.child.launch)
        except OSError as error:
            raise CommandError(f"{self.child.name} can't be started: {error}.") from error
        self.since = time.time()
        self._tell()

    def _tell(self) -> None:
        # Notes are for others: a child that runs is kept, whether or not they can be written.
        with contextlib.suppress(OSError):
            self._changed()

    async def _keep(self) -> None:
        while self.process:
            code = await self.process.wait()
            if code == SETTINGS_ARE_WRONG and not self._was_ready:
                self._gave_up(self, self._refusal())
                return
            if not await self._again(_how(code)):
                return

    async def _again(self, how: str) -> bool:
        """Start it once more after a pause that grows; a start that fails is a fall too. False when it fell too often.

        Whatever goes wrong: nobody waits for this task, and one that ends would leave its child unkept.
        """
        while (wait_s := self._intensity.fell(time.monotonic())) is not None:
            await asyncio.sleep(wait_s)
            try:
                await self._begin()
            except Exception as error:
                how = str(error)
                continue
            self.restarts += 1
            self._tell()
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._say(f"{at} {self.child.name} fell ({how}) and was started again.")
            return True
        said = said_last(self.child.launch.log) or "it said nothing"
        self._gave_up(self, FellTooOftenError(self.child.name, how, said))
        return False

    def _last_words(self) -> str:
        """What a child that has fallen said; one that runs gives its reason itself."""
        said = said_last(self.child.launch.log) if self.restarts else ""
        return f" Its last words: {said}" if said else ""

    def _refusal(self) -> CommandError:
        # It says who it is as well.
        said = (said_last(self.child.launch.log) or "it said nothing").removeprefix(f"parley {self.child.service}: ")
        return CommandError(f"{self.child.name} refuses its settings: {said}", SETTINGS_ARE_WRONG)


def _how(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
