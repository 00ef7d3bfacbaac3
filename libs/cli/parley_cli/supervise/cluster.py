"""The nodes of one log while they run: compared, read anew, and mended one at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.supervise import assembly, nodes, replicas, scrub, store
from parley_cli.supervise.assembly import Assembly
from parley_cli.supervise.keeper import Keeper
from parley_cli.supervise.replicas import Finding

_WELL_S, _LOOK_EVERY_S = 10.0, 0.5


class NatsCluster:
    """`keepers` are those of the whole mesh; the nodes among them are stopped and started through them."""

    def __init__(self, made: Assembly, keepers: Mapping[str, Keeper]) -> None:
        self._made = made
        self._keepers = keepers

    async def compare(self) -> list[Finding]:
        host, ports = self._made.settings.host, self._made.ports
        monitors = {name: (host, ports[nodes.monitor_of(name)]) for name in nodes.names(self._made.nodes)}
        return await scrub.compare(monitors)

    async def mend(self, name: str) -> str:
        """Have `name` copy anew where it differs. CommandError unless all the others agree there.

        What it had voted is forgotten with its copy, so nothing else may be stopped before it has caught up.
        """
        node = self._node(name)
        await self._others_are_well(name)
        streams = replicas.to_mend(await self.compare(), name)
        if not streams:
            raise CommandError(f"There is no stream in which only {name} differs: nothing was done.")
        await self._restart(node, partial(store.forget, self._store(name), streams))
        left = [found for found in await self.compare() if found.stream in streams and found.verdict != "same"]
        if left:
            raise CommandError(f"{name} has not caught up yet. {replicas.told(left)}")
        return f"{name} has copied {', '.join(streams)} anew."

    async def read_anew(self, name: str) -> str:
        """Have `name` read every message that it holds, which finds what its index still vouches for."""
        node = self._node(name)
        await self._others_are_well(name)
        await self._restart(node, partial(store.forget_indexes, self._store(name)))
        return f"{name} has read its store anew."

    def _node(self, name: str) -> Keeper:
        known = nodes.names(self._made.nodes)
        if len(known) == 1:
            raise CommandError("There is one node of NATS: no copy to compare it with.", EXIT_USAGE)
        if name not in known:
            raise CommandError(f"There is no node {name!r}; there are {', '.join(known)}.", EXIT_USAGE)
        return self._keepers[name]

    def _store(self, name: str) -> Path:
        return nodes.store_of(self._made.home, name, self._made.nodes)

    async def _others_are_well(self, name: str) -> None:
        """CommandError when one of them is not, and stays so: one that has just started anew is not always at once."""
        until = time.monotonic() + _WELL_S
        while unwell := await self._unwell(name):
            if time.monotonic() > until:
                other, reason = unwell[0]
                raise CommandError(f"{name} has to keep running while {other} is not well: {reason}")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _unwell(self, but: str) -> list[tuple[str, str]]:
        others = [self._keepers[name].child for name in nodes.names(self._made.nodes) if name != but]
        reasons = await asyncio.gather(*(other.reason() for other in others))
        return [(other.name, reason) for other, reason in zip(others, reasons, strict=True) if reason]

    async def _restart(self, node: Keeper, between: Callable[[], None]) -> None:
        settings = self._made.settings
        await node.replace(assembly.nats_child(self._made, node.child.name), settings.drain_s, between)
        await node.wait_ready(settings.ready_s)
