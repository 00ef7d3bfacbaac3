"""The faults of reliability.md that one machine can have: each strikes and heals, many times in a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from fault_world import World

from parley_testkit.bench import until
from parley_testkit.history.load import Load

# Longer than a pinned owner's lease (parley_mesh.topology.PIN_TIMEOUT_S) and a piece of work's (TURN_ACK_WAIT_S).
PAST_ITS_LEASE_S = 5.0
AWAY_S = 8.0
SERVICES = (
    "gateway",
    "conversation",
    "billing",
    "technical",
    "account",
    "returns",
    "escalation",
    "rag",
    "llm-gateway",
    "archiver",
    "backoffice",
)
Strike = Callable[[World], Awaitable[None]]


class Row(NamedTuple):
    """One fault. `strikes` is how often it strikes in a run."""

    name: str
    strike: Strike
    strikes: int


async def kill_one(service: str, world: World) -> None:
    await world.kill(world.one_of(service))


async def kill_all(service: str, world: World) -> None:
    await world.kill(*world.mesh.instances(service))


async def pause(service: str, world: World) -> None:
    """Past its lease, so that another takes over, and then awake again, believing what it knew."""
    with world.paused(world.one_of(service)):
        await asyncio.sleep(PAST_ITS_LEASE_S)


async def kill_leader(world: World) -> None:
    await world.kill(await world.leader())


async def kill_follower(world: World) -> None:
    await world.kill(world.random.choice(await world.followers()))


async def kill_two(world: World) -> None:
    await world.kill(*(await world.followers()))


async def kill_all_nodes(world: World) -> None:
    await world.kill(*world.mesh.instances("nats"))


async def pause_leader(world: World) -> None:
    """As if it were cut off: it answers nobody, and later finds that others have gone on without it."""
    with world.paused(await world.leader()):
        await asyncio.sleep(AWAY_S)


async def pause_majority(world: World) -> None:
    """Nothing can be stored, so nothing may be accepted."""
    with world.paused(*(await world.followers())):
        await asyncio.sleep(AWAY_S)


async def postgres_away(world: World) -> None:
    """Answers go on, and the archive catches up afterwards."""
    with world.paused("postgres"):
        await asyncio.sleep(AWAY_S)


async def roll(service: str, world: World) -> None:
    """A rolling upgrade: every instance stops gracefully and starts again, one after the other."""
    await world.command("restart", service)


async def scale(world: World) -> None:
    """Owners and workers come and go."""
    more = world.random.choice(["conversation", "billing"])
    await world.command("scale", f"{more}=3")
    await world.command("scale", f"{more}=2")


async def everything(world: World) -> None:
    """Any of the others, and two at once."""
    some = [partial(kill_one, service) for service in SERVICES] + [partial(pause, "conversation"), kill_follower]
    await asyncio.gather(*(strike(world) for strike in world.random.sample(some, 2)))


async def crash_loop(world: World) -> None:
    """The same instance dies again and again, as soon as it is back."""
    instance = world.one_of("billing")
    for _ in range(3):
        await world.kill(instance)


ROWS = [
    *(Row(f"SIGKILL of one {service}", partial(kill_one, service), 10) for service in SERVICES),
    *(
        Row(f"SIGKILL of every {service}", partial(kill_all, service), 5)
        for service in ("gateway", "conversation", "billing", "rag", "llm-gateway")
    ),
    Row("SIGSTOP of an owner past its lease, SIGCONT", partial(pause, "conversation"), 6),
    Row("SIGSTOP of a specialist past its lease, SIGCONT", partial(pause, "billing"), 6),
    Row("SIGSTOP of a gateway, SIGCONT", partial(pause, "gateway"), 4),
    Row("SIGKILL of the log's leader", kill_leader, 8),
    Row("SIGKILL of a follower", kill_follower, 8),
    Row("SIGKILL of two of three nodes", kill_two, 4),
    Row("SIGKILL of all three nodes", kill_all_nodes, 3),
    Row("The leader cut off for 8 s", pause_leader, 4),
    Row("Two of three nodes cut off for 8 s", pause_majority, 3),
    Row("PostgreSQL away for 8 s", postgres_away, 3),
    Row("Rolling restart of conversation", partial(roll, "conversation"), 4),
    Row("Rolling restart of billing", partial(roll, "billing"), 4),
    Row("Rolling restart of gateway", partial(roll, "gateway"), 3),
    Row("Scaling up and down", scale, 3),
    Row("A crash loop of billing", crash_loop, 3),
    Row("Two of these at once", everything, 8),
]


async def in_the_midst(world: World, count: int, load: Load) -> bool:
    """Let some work be done before a fault: it shall strike in the midst of turns. False when all has been said."""
    target = load.answered + count
    await until(lambda: load.answered >= target or not load.talking, 120.0)
    await asyncio.sleep(world.random.uniform(0.0, 0.5))
    return load.talking > 0
