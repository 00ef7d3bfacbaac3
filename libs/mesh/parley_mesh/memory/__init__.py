"""The mesh in memory: the same promises as on NATS JetStream, held to them by one suite (tests/contract).

`MemoryBus` is a `Bus` within one process. `MemoryServer` with its `MemoryClient`s speaks the raw requests of a real
server, so that `NatsBus`, `WorkQueue` and `Shards` run on it unchanged.
"""

from parley_mesh.memory.bus import MemoryBus
from parley_mesh.memory.client import MemoryClient
from parley_mesh.memory.server import MemoryServer
from parley_mesh.memory.wildcards import matches

__all__ = ["MemoryBus", "MemoryClient", "MemoryServer", "matches"]
