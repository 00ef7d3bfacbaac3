"""The third party's own record of a run: the calls that the sample back office has carried out."""

from __future__ import annotations

from parley_cli.supervise import plan, postgres, secrets, state
from parley_cli.supervise.home import Home
from parley_cli.supervise.postgres import Cluster
from parley_testkit.history.recorder import Recorder
from parley_testkit.history.records import Effect

# The fingerprint is of name, path and body: whatever idempotency keys it came under, the same effect has the same one.
_EXECUTED = """
    SELECT idempotency_key, name, fingerprint, created_at FROM backoffice.calls
    WHERE status BETWEEN 200 AND 299 ORDER BY created_at, idempotency_key
"""


def cluster_of(home: Home, running: state.State) -> Cluster:
    """The PostgreSQL of a mesh on this machine, as its superuser sees it."""
    password = secrets.load(home).postgres_password(postgres.SUPERUSER)
    return Cluster(home.postgres, "127.0.0.1", running.ports[plan.POSTGRES], password)


async def record_effects(cluster: Cluster, recorder: Recorder) -> int:
    """Write an effect for each call that was carried out and not refused; how many there are."""
    connection = await postgres.connect(cluster, postgres.DATABASE)
    try:
        rows = await connection.fetch(_EXECUTED)
    finally:
        await connection.close()
    for row in rows:
        key, at = f"{row['name']} {row['fingerprint']}", int(row["created_at"].timestamp() * 1000)
        recorder.write(Effect(key=key, call=row["idempotency_key"], at=at))
    return len(rows)
