"""One customer of a load: plays a script over the real WebSocket, and everything is witnessed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import NamedTuple

from parley_cli.client import Answer, Conversation, Door, DoorRefusedError, InputRefusedError
from parley_testkit.history.recorder import Recorder
from parley_testkit.history.scripts import CHANGES, REFUND, Act, Ask, Change, ClickTwice, Move
from parley_testkit.history.witness import Witness


class Thought(NamedTuple):
    """How long a customer thinks before each move: `mean_s` on average, exponentially, as `random` says."""

    random: Random
    mean_s: float

    @property
    def seconds(self) -> float:
        return self.random.expovariate(1 / self.mean_s) if self.mean_s else 0.0


class Customer:
    """Has one conversation, at times on several devices. After `answer_s` without an answer it goes on."""

    def __init__(
        self, through: Door, recorder: Recorder, script: Sequence[Move], answer_s: float, thought: Thought | None = None
    ) -> None:
        self.witness = Witness(recorder)
        self._door = through
        self._script = script
        self._answer_s = answer_s
        self._thought = thought

    async def talk(self) -> None:
        """Play the script. DoorRefusedError when the gateway will never let us in."""
        async with Conversation(self._door, wire=self.witness) as device:
            for move in self._script:
                if self._thought:
                    await asyncio.sleep(self._thought.seconds)
                await self._play(device, move)

    async def wait(self, timeout_s: float) -> bool:
        """Stay until all that was taken is answered; False when it is not in time."""
        if not self.witness.waiting:
            return True
        async with Conversation(self._door, self.witness.threads[-1], wire=self.witness):
            try:
                async with asyncio.timeout(timeout_s):
                    while self.witness.waiting:
                        self.witness.news.clear()
                        await self.witness.news.wait()
            except TimeoutError:
                return False
        return True

    async def read_again(self, timeout_s: float) -> None:
        """See from its beginning whatever was begun; TimeoutError when it can't be read in time."""
        for thread in self.witness.threads:
            async with Conversation(self._door, thread, wire=self.witness) as device:
                try:
                    await device.caught_up(timeout_s)
                except DoorRefusedError:
                    # There is no such conversation where nothing that is in doubt has arrived.
                    if self.witness.taken:
                        raise

    async def _play(self, device: Conversation, move: Move) -> None:
        match move:
            case Ask(texts):
                await self._together(device, [(text, _new_id()) for text in texts])
            case ClickTwice(text):
                await self._together(device, [(text, _new_id())] * 2)
            case Change(what, consent):
                new = _new_value(what)
                await self._request(device, CHANGES[what].format(new=new), new, consent, "")
            case Act(complaint, consent, otherwise):
                await self._request(device, complaint, REFUND, consent, otherwise)

    async def _request(self, device: Conversation, wish: str, about: str, consent: str, otherwise: str) -> None:
        """Agree to an offer that speaks `about` the wish, and say `otherwise`, if anything, where there is none.

        Who agrees to anything has the same device restarted twice, which the checker takes for a repeated effect.
        """
        answer = await self._say(device, wish, _new_id())
        offered = answer is not None and answer.kind == "offer" and about in answer.text
        if reply := consent if offered else otherwise:
            await self._say(device, reply, _new_id())

    async def _together(self, device: Conversation, messages: list[tuple[str, str]]) -> None:
        (text, name), *others = messages
        if not others or not self.witness.taken:
            # A conversation that has not begun can't be opened on another device.
            await self._say(device, text, name)
            return
        async with AsyncExitStack() as open_devices:
            more = [Conversation(self._door, device.thread, wire=self.witness) for _ in others]
            for one in more:
                await open_devices.enter_async_context(one)
            told = zip([device, *more], messages, strict=True)
            await asyncio.gather(*(self._say(one, *message) for one, message in told))

    async def _say(self, device: Conversation, text: str, name: str) -> Answer | None:
        """The answer; None when none came in time or the message was refused: that is on record, and life goes on."""
        try:
            return await device.say(text, self._answer_s, name)
        except TimeoutError:
            self.witness.give_up(device.thread, "timeout")
        except InputRefusedError:
            # The witness has seen the refusal.
            return None
        return None


def _new_value(what: str) -> str:
    """Never the same twice, in whatever run: the checker takes a second one like it for a repeated effect."""
    return f"{secrets.token_hex(8)}@example.com" if what == "email" else f"+44 7{secrets.randbelow(10**9):09}"


def _new_id() -> str:
    return secrets.token_urlsafe(16)
