"""The supervisor: starts the mesh stage by stage, keeps it running, drains it from the door inwards."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from parley_cli.errors import EXIT_USAGE, CommandError
from parley_cli.operator import connected
from parley_cli.supervise import assembly, control, nodes, plan, ports, postgres, replicas, services, state
from parley_cli.supervise.assembly import Assembly
from parley_cli.supervise.cluster import NatsCluster
from parley_cli.supervise.intensity import Intensity, may_go_on
from parley_cli.supervise.keeper import Child, FellTooOftenError, Keeper
from parley_cli.supervise.process import Process
from parley_cli.supervise.report import Report
from parley_mesh import topology
from parley_mesh.tasks import end


class Supervisor:
    """One mesh on this machine, from its start to its end."""

    def __init__(self, made: Assembly, report: Report) -> None:
        self._made = made
        self._report = report
        self._keepers: dict[str, Keeper] = {}
        self._cluster = NatsCluster(made, self._keepers)
        self._gave_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stopping = asyncio.Event()
        self._hurrying = False
        self._busy = asyncio.Lock()
        self._state = state.State(os.getpid(), state.birth(os.getpid()), time.time())

    async def run(self) -> None:
        """Until SIGTERM or Ctrl-C; CommandError when the mesh could not be started or kept running."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        self._write()
        server = await control.serve(self._made.home.control, self._carry_out)
        try:
            await self._until_the_end()
        finally:
            server.close()
            await self._stop_all()
            self._made.home.control.unlink(missing_ok=True)

    async def _until_the_end(self) -> None:
        starting = asyncio.create_task(self._start_all(), name="start")
        stopping = asyncio.create_task(self._stopping.wait(), name="stop")
        scrubbing = asyncio.create_task(self._scrub(), name="scrub")
        try:
            ends: list[asyncio.Future[Any]] = [stopping, self._gave_up]
            await asyncio.wait([starting, *ends], return_when=asyncio.FIRST_COMPLETED)
            if starting.done() and not self._gave_up.done() and not starting.exception():
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for ended in (self._gave_up, starting):
                if ended.done():
                    ended.result()
        finally:
            await end(starting, stopping, scrubbing)

    def _asked_to_stop(self) -> None:
        if self._stopping.is_set() and not self._hurrying:
            self._hurrying = True
            for keeper in self._all():
                keeper.kill(signal.SIGQUIT if keeper.child.name == plan.POSTGRES else signal.SIGKILL)
        self._stopping.set()

    # Starting

    async def _start_all(self) -> None:
        if sentence := ports.changed(self._made.wishes, self._made.ports):
            self._report.say(sentence)
        began = time.monotonic()
        await self._start_group(await self._foundations())
        await asyncio.gather(self._lay_streams(), postgres.provide(self._made.cluster, self._made.roles))
        for group in plan.stages(self._made.services):
            names = [(service, name) for service in group for name in plan.names_of(service, self._made.replicas)]
            await self._start_group([self._child(service, name) for service, name in names])
        self._state.phase = "ready"
        self._write()
        self._report.say(f"Parley is ready after {time.monotonic() - began:.1f} s.")
        self._report.ready(self._state.url)

    async def _foundations(self) -> list[Child]:
        if await asyncio.to_thread(postgres.prepare, self._made.cluster):
            self._report.say(f"Made a PostgreSQL cluster in {self._made.home.postgres}.")
        log = [assembly.nats_child(self._made, name) for name in nodes.names(self._made.nodes)]
        return [*log, assembly.postgres_child(self._made)]

    async def _lay_streams(self) -> None:
        shards, settings = self._made.mesh.shards, self._made.topology
        async with connected(self._made.operator()) as client:
            await topology.apply(client, self._made.specialties, shards=shards, settings=settings)

    async def _start_group(self, children: Sequence[Child]) -> None:
        keepers = [self._keeper(child) for child in children]
        self._keepers |= {keeper.child.name: keeper for keeper in keepers}
        await asyncio.gather(*(keeper.start() for keeper in keepers))
        waiting = {asyncio.create_task(k.wait_ready(self._made.settings.ready_s)): k for k in keepers}
        try:
            await self._report_as_they_come(waiting)
        finally:
            await end(*waiting)

    async def _report_as_they_come(self, waiting: dict[asyncio.Task[None], Keeper]) -> None:
        left = set(waiting)
        while left:
            done, left = await asyncio.wait(left, timeout=0.2, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
                child = waiting[task].child
                self._report.say(f"{child.name} is ready on port {child.port}.")
            if left:
                self._report.waiting(_awaited([waiting[task] for task in left]))

    def _child(self, service: services.Service, name: str) -> Child:
        return assembly.child_of(self._made, assembly.instance_of(self._made, service, name))

    def _keeper(self, child: Child) -> Keeper:
        intensity = Intensity(self._made.settings.restarts, self._made.settings.restart_window_s)
        return Keeper(child, intensity, self._write, self._give_up, self._report.say)

    def _give_up(self, keeper: Keeper, error: CommandError) -> None:
        if self._state.phase == "ready" and self._goes_on_without(keeper, error):
            keeper.given_up = error.spared if isinstance(error, FellTooOftenError) else str(error)
            self._report.say(keeper.given_up)
            self._write()
        elif not self._gave_up.done():
            self._gave_up.set_exception(error)

    def _goes_on_without(self, keeper: Keeper, error: CommandError) -> bool:
        """OTP stops everything when a service can't be kept; here that takes all of its instances, or a majority.

        One that refuses its settings was started by an order: whoever gave it is told, and nobody else pays for it.
        """
        if not isinstance(error, FellTooOftenError):
            return True
        peers = [other for other in self._all() if other.child.service == keeper.child.service]
        left = [other for other in peers if other is not keeper and not other.given_up]
        return may_go_on(len(left), len(peers), majority=keeper.child.service == plan.NATS)

    async def _scrub(self) -> None:
        """Compare the copies of the log now and then, and say what is new about them."""
        if self._made.nodes == 1 or not self._made.settings.scrub_s:
            return
        while True:
            await asyncio.sleep(self._made.settings.scrub_s)
            if self._state.phase != "ready" or self._busy.locked():
                continue
            said = replicas.told(await self._cluster.compare())
            if said != self._state.scrubbed:
                self._report.say(said)
            self._state.scrubbed = said
            self._write()

    # Stopping

    async def _stop_all(self) -> None:
        """From the door inwards, NATS last, so that whoever still works can still write down what it did."""
        self._state.phase = "stopping"
        self._write()
        for group in plan.drain_order({keeper.child.service for keeper in self._all()}, self._made.specialties):
            leaving = [keeper for keeper in self._all() if keeper.child.service in group]
            self._report.waiting("stopping " + ", ".join(keeper.child.name for keeper in leaving))
            await asyncio.gather(*(keeper.stop(self._patience()) for keeper in leaving))
        self._write()

    def _patience(self) -> float:
        return 0.0 if self._hurrying else self._made.settings.drain_s

    # Orders from other commands

    async def _carry_out(self, order: control.Order) -> str:
        if self._state.phase != "ready":
            raise CommandError(f"Parley is {self._state.phase}; try again when it is ready.")
        async with self._busy:
            match order.verb:
                case "restart":
                    return await self._restart(order.what)
                case "scale":
                    return await self._scale(order.what)
                case "mend":
                    return await self._cluster.mend(order.what)
                case "read_anew":
                    return await self._cluster.read_anew(order.what)

    async def _restart(self, what: str) -> str:
        chosen = [keeper for keeper in self._all() if what in (keeper.child.name, keeper.child.service)]
        if not chosen:
            known = ", ".join(keeper.child.name for keeper in self._all())
            raise CommandError(f"There is no instance {what!r}; there are {known}.", EXIT_USAGE)
        for keeper in chosen:
            # Made first, and checked: with wrong settings the old one keeps running.
            child = self._renewed(keeper.child)
            await keeper.replace(child, self._made.settings.drain_s)
            await keeper.wait_ready(self._made.settings.ready_s)
        return f"{what} has been restarted."

    def _renewed(self, child: Child) -> Child:
        if child.service == plan.NATS:
            return assembly.nats_child(self._made, child.name)
        if child.name == plan.POSTGRES:
            return assembly.postgres_child(self._made)
        service = next(service for service in self._made.services if service.name == child.service)
        instance = assembly.instance_of(self._made, service, child.name)
        services.check(service, instance.environ)
        return self._child(service, child.name)

    async def _scale(self, what: str) -> str:
        for name, count in plan.read_replicas(what, self._made.services).items():
            service = next(service for service in self._made.services if service.name == name)
            await self._scale_to(service, count)
        return f"Scaled: {what}."

    async def _scale_to(self, service: services.Service, count: int) -> None:
        wanted = plan.names_of(service, {service.name: count})
        assembly.grow(self._made, service.name, count)
        surplus = [k for k in self._all() if k.child.service == service.name and k.child.name not in wanted]
        for keeper in surplus:
            await keeper.stop(self._made.settings.drain_s)
            self._keepers.pop(keeper.child.name)
        missing = [name for name in wanted if name not in self._keepers]
        await self._start_group([self._child(service, name) for name in missing])
        self._write()

    # What others can read

    def _all(self) -> list[Keeper]:
        return list(self._keepers.values())

    def _write(self) -> None:
        self._state.urls = self._made.urls
        self._state.nats_url = self._made.nats_url
        self._state.ports = self._made.ports
        self._state.shards, self._state.host = self._made.mesh.shards, self._made.settings.host
        self._state.children = {k.child.name: _state_of(k, k.process) for k in self._all() if k.process}
        try:
            state.write(self._made.home, self._state)
        except OSError as error:
            # On a full disk other commands see old notes for a while; the children are kept all the same.
            self._report.say(f"{self._made.home.state} can't be written: {error.strerror}.")


def _awaited(keepers: Sequence[Keeper]) -> str:
    """What is still awaited; of the last one also why."""
    names = ", ".join(sorted(keeper.child.name for keeper in keepers))
    reason = keepers[0].reason if len(keepers) == 1 else ""
    return f"waiting for {names}: {reason}" if reason else f"waiting for {names}"


def _state_of(keeper: Keeper, process: Process) -> state.ChildState:
    child = keeper.child
    return state.ChildState(
        child.service,
        process.pid,
        process.born,
        child.port,
        child.host,
        keeper.restarts,
        keeper.since,
        keeper.given_up,
    )
