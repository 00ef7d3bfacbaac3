"""The faults of reliability.md that one machine can have: each strikes and heals, many times in a run.

Not here: clock jumps (they need a library under every process), slow disks and network namespaces.
"""

from __future__ import annotations

import asyncio
from functools import partial

from fault_outside import (
    MISBEHAVIOURS,
    SLOW_READERS,
    fill_disk,
    garble_table,
    misbehave,
    never_read,
    own_disk,
    remove_table,
    scripted_model,
)
from fault_row import NODE, Budget, Row, lasting
from fault_strikes import (
    AWAY_S,
    PAST_ITS_LEASE_S,
    SERVICES,
    crash_loop,
    everything,
    kill_all,
    kill_all_nodes,
    kill_follower,
    kill_leader,
    kill_one,
    kill_two,
    pause,
    pause_leader,
    pause_majority,
    postgres_away,
    roll,
    scale,
    wrong_setting,
)
from fault_world import World

from parley_testkit.bench import until
from parley_testkit.history.load import Load

_IN_ALL = ("gateway", "conversation", "billing", "rag", "llm-gateway")
_LONG_S = 600.0
# More than customers wait for what a fault has delayed.
_MIDST_S = 300.0
# Answers go on without what is away, if more slowly: each search for knowledge is given some time.
WHILE_IT_LASTS = Budget(AWAY_S, AWAY_S)

ROWS = [
    *(Row(f"SIGKILL of one {service}", partial(kill_one, service), 10) for service in SERVICES),
    *(Row(f"SIGKILL of every {service}", partial(kill_all, service), 5) for service in _IN_ALL),
    Row("SIGSTOP of an owner past its lease, SIGCONT", partial(pause, "conversation"), 6, lasting(PAST_ITS_LEASE_S)),
    Row("SIGSTOP of a specialist past its lease, SIGCONT", partial(pause, "billing"), 6, lasting(PAST_ITS_LEASE_S)),
    Row("SIGSTOP of a gateway, SIGCONT", partial(pause, "gateway"), 4, lasting(PAST_ITS_LEASE_S)),
    Row("SIGKILL of the log's leader", kill_leader, 8, NODE),
    Row("SIGKILL of a follower", kill_follower, 8, NODE),
    Row("SIGKILL of two of three nodes", kill_two, 4, NODE),
    Row("SIGKILL of all three nodes", kill_all_nodes, 3, NODE),
    Row("The leader cut off for 8 s", pause_leader, 4, lasting(AWAY_S)),
    Row("Two of three nodes cut off for 8 s", pause_majority, 3, lasting(AWAY_S)),
    Row("PostgreSQL away for 8 s", partial(postgres_away, AWAY_S), 3),
    Row("Rolling restart of conversation", partial(roll, "conversation"), 4),
    Row("Rolling restart of billing", partial(roll, "billing"), 4),
    Row("Rolling restart of gateway", partial(roll, "gateway"), 3),
    Row("Scaling up and down", scale, 3),
    Row("A crash loop of billing", crash_loop, 3),
    Row("A wrong setting of billing for 8 s", wrong_setting, 3),
    Row(f"{SLOW_READERS} clients that never read", never_read, 4),
    Row("LanceDB's table gone for 8 s", remove_table, 3, WHILE_IT_LASTS),
    Row("LanceDB's table garbled for 8 s", garble_table, 3, WHILE_IT_LASTS),
    Row("Two of these at once", everything, 8, NODE),
    *(
        Row(f"A model provider that {does} for 8 s", partial(misbehave, does), 4, lasting(AWAY_S), scripted_model)
        for does in MISBEHAVIOURS
    ),
    Row("One node's disk full for 8 s", fill_disk, 3, NODE, own_disk),
]
LONG_ROWS = [Row("PostgreSQL away for 600 s", partial(postgres_away, _LONG_S), 1, patience_s=_LONG_S + 240)]


async def in_the_midst(world: World, count: int, load: Load) -> None:
    """Let some work be done before a fault: it shall strike in the midst of turns."""
    target = load.answered + count
    await until(lambda: load.answered >= target, _MIDST_S)
    await asyncio.sleep(world.random.uniform(0.0, 0.5))
