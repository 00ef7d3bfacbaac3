"""Faults of the mesh's own processes: killed, paused, rolled, scaled, wrongly configured."""

from __future__ import annotations

import asyncio
from functools import partial

from fault_row import Strike
from fault_world import World

from parley_testkit.mesh import CommandFailed

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
_WRONG = '[billing]\nbackoffice_timeout_s = "soon"\n'


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


async def postgres_away(seconds: float, world: World) -> None:
    """Answers go on, and the archive catches up afterwards."""
    with world.paused(world.one_of("postgres")):
        await asyncio.sleep(seconds)


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
    some: list[Strike] = [*(partial(kill_one, service) for service in SERVICES), partial(pause, "conversation")]
    some.append(kill_follower)
    await asyncio.gather(*(strike(world) for strike in world.random.sample(some, 2)))


async def crash_loop(world: World) -> None:
    """The same instance dies again and again, as soon as it is back."""
    instance = world.one_of("billing")
    for _ in range(3):
        await world.kill(instance)


async def wrong_setting(world: World) -> None:
    """A rolling restart is refused with it; one that dies meanwhile does not come back, and the other goes on."""
    file, instance = world.mesh.folder / "parley.toml", world.one_of("billing")
    file.write_text(_WRONG)
    try:
        pids = [world.mesh.pid(one) for one in world.mesh.instances("billing")]
        done = await asyncio.to_thread(world.mesh.run, "restart", "billing", timeout=180.0)
        if not done.returncode or pids != [world.mesh.pid(one) for one in world.mesh.instances("billing")]:
            raise CommandFailed(f"A wrong setting took the place of a good one: {done.stdout}{done.stderr}")
        world.mesh.kill(instance)
        await asyncio.sleep(AWAY_S)
    finally:
        file.unlink()
    if world.mesh.state.children[instance].given_up:
        await world.command("restart", instance)
