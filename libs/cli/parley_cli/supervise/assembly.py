"""Everything a supervisor needs to know before it starts anything: read, chosen, checked, written down."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import msgspec

from parley_cli.supervise import nats, nodes, plan, ports, postgres, probe, process, secrets, services, state
from parley_cli.supervise.home import Home, write_private
from parley_cli.supervise.keeper import Child
from parley_cli.supervise.services import Service
from parley_cli.supervise.settings import UpSettings
from parley_mesh.identities import OPERATOR
from parley_mesh.settings import MeshSettings, load
from parley_mesh.topology import TopologySettings

_ORPHANS_S = 5.0


class Assembly(msgspec.Struct):
    """The mesh as it is to run. `replicas` and `ports` change when it is scaled."""

    home: Home
    nodes: int
    settings: UpSettings
    mesh: MeshSettings
    topology: TopologySettings
    services: Sequence[Service]
    known: secrets.Secrets
    replicas: dict[str, int]
    wishes: dict[str, int]
    ports: dict[str, int]
    environ: Mapping[str, str]

    @property
    def nats_url(self) -> str:
        """The nodes' addresses with commas between: whoever loses one goes on with another."""
        return ",".join(f"nats://{self.settings.host}:{self.ports[name]}" for name in nodes.names(self.nodes))

    @property
    def urls(self) -> list[str]:
        """The chat's addresses, one a gateway."""
        gateways = [name for s in self.services if s.name == plan.GATEWAY for name in plan.names_of(s, self.replicas)]
        return [f"http://{self.settings.host}:{self.ports[name]}" for name in gateways]

    @property
    def specialties(self) -> list[str]:
        return [service.name for service in self.services if service.specialist]

    @property
    def cluster(self) -> postgres.Cluster:
        password = self.known.postgres_password(postgres.SUPERUSER)
        return postgres.Cluster(self.home.postgres, self.settings.host, self.ports[plan.POSTGRES], password)

    @property
    def roles(self) -> list[postgres.Role]:
        """Roles for each service with a setting `database_url`; two where it keeps its schema's owner apart."""
        return [role for service in self.services for role in _roles_of(service, self.known)]

    def operator(self) -> MeshSettings:
        password = self.known.nats_password(OPERATOR)
        return MeshSettings(nats_url=self.nats_url, nats_user=OPERATOR, nats_password=password)


def assemble(home: Home, replicas: str, environ: Mapping[str, str]) -> Assembly:
    """Read every setting and choose every port. SettingsError or CommandError before anything has started."""
    settings = load(UpSettings, "up", environ)
    mesh = load(MeshSettings, "mesh", environ)
    count = nodes.decide(settings.nodes, home)
    topology = _copied(load(TopologySettings, "topology", environ), count)
    found = services.discover(settings.only)
    # With several nodes nothing is to depend on a single process.
    counts = plan.everyone(found, 2 if count > 1 else 1) | plan.read_replicas(replicas, found)
    wishes = wishes_of(settings, count, found, counts, environ)
    earlier = state.read(home)
    chosen = ports.choose(wishes, earlier.ports if earlier else {}, partial(ports.is_free, settings.host))
    known = secrets.load(home)
    _keep_master_key(home, known)
    made = Assembly(home, count, settings, mesh, topology, found, known, counts, wishes, chosen, environ)
    for service in found:
        services.check(service, instance_of(made, service, f"{service.name}-1").environ)
    _make_secrets(made)
    secrets.save(home, known)
    return made


def wishes_of(
    settings: UpSettings, count: int, found: Sequence[Service], replicas: Mapping[str, int], environ: Mapping[str, str]
) -> dict[str, int]:
    """The port that each child would like: a service's own setting `port` is its first instance's wish."""
    base = settings.port_base
    fixed = nodes.port_wishes(count, base=base, nats_port=settings.nats_port)
    if base:
        return plan.port_wishes(found, replicas, fixed | {plan.POSTGRES: base + 2}, base + 10)
    fixed |= {plan.POSTGRES: settings.postgres_port}
    fixed |= {f"{s.name}-1": port for s in found if (port := services.port_of(s, environ))}
    return plan.port_wishes(found, replicas, fixed, plan.FIRST_SERVICE_PORT)


def grow(made: Assembly, name: str, count: int) -> None:
    """Give service `name` ports for `count` instances; those that run keep theirs."""
    made.replicas[name] = count
    wishes = wishes_of(made.settings, made.nodes, made.services, made.replicas, made.environ)
    new = {child: wish for child, wish in wishes.items() if child not in made.ports}
    taken = frozenset(made.ports.values())
    made.ports |= ports.choose(new, {}, partial(ports.is_free, made.settings.host), taken)


def instance_of(made: Assembly, service: Service, name: str) -> plan.Instance:
    port = made.ports[name]
    found = services.found_settings(service, made.environ)
    environ = plan.environment(service, name, port, _given(made), found, made.environ)
    return plan.Instance(name, service, port, environ)


def child_of(made: Assembly, instance: plan.Instance) -> Child:
    """A service's process, ready when its /readyz says so."""
    log = made.home.log_of(instance.name)
    launch = process.Launch(instance.argv, instance.environ, log)
    host, before = instance.environ["PARLEY_MESH_HEALTH_HOST"], _rotating(made, instance.name)
    reason = partial(probe.http_reason, host, instance.port, "/readyz")
    return Child(instance.name, instance.service.name, instance.port, launch, reason, before, host)


def nats_child(made: Assembly, name: str) -> Child:
    """One node, ready when it has everything that is assigned to it and somebody leads."""
    config_file = made.home.root / ("nats.conf" if made.nodes == 1 else f"{name}.conf")
    write_private(config_file, nats.render(_nats_config(made, name)))
    launch = process.Launch(nats.argv(config_file), _plain(made.environ), made.home.log_of(name))
    monitor = made.ports[nodes.monitor_of(name)]
    reason = partial(probe.http_reason, made.settings.host, monitor, "/healthz")
    return Child(name, plan.NATS, made.ports[name], launch, reason, _rotating(made, name))


def postgres_child(made: Assembly) -> Child:
    cluster = made.cluster

    async def before() -> None:
        await _rotating(made, plan.POSTGRES)()
        await _orphans_gone(cluster)

    launch = process.Launch(
        postgres.argv(cluster),
        _plain(made.environ),
        made.home.log_of(plan.POSTGRES),
        postgres.system_user(),
        stop=signal.SIGINT,
        # An immediate shutdown: the server takes its own children along, which SIGKILL would leave for a while.
        orphaned=signal.SIGQUIT,
    )
    reason = partial(postgres.answers, cluster)
    return Child(plan.POSTGRES, "postgres", cluster.port, launch, reason, before)


def _given(made: Assembly) -> plan.Given:
    known, host, home = made.known, made.settings.host, made.home
    backoffice = made.ports.get(f"{plan.BACKOFFICE}-1")
    return plan.Given(
        host=host,
        nats_url=made.nats_url,
        nats_passwords={s.name: known.nats_password(s.name) for s in made.services if s.on_nats},
        database_urls={role.name: made.cluster.url(role.name, role.password) for role in made.roles},
        backoffice_url=f"http://{host}:{backoffice}" if backoffice else "",
        backoffice_token=known.token("backoffice"),
        ticket_secret=known.token("ticket"),
        offline_model=_offline_model(made),
        master_key_file=str(home.master_key),
        folder=home.root,
    )


def _offline_model(made: Assembly) -> str:
    """Whether the local model answers, as far as the settings tell: the chat page says so before the first answer."""
    for service in made.services:
        if service.name == plan.LLM_GATEWAY:
            found = services.found_settings(service, made.environ)
            return "no" if found["base_url"].value or found["api_key"].value else "yes"
    return ""


def _roles_of(service: Service, known: secrets.Secrets) -> list[postgres.Role]:
    fields = services.settings_type(service).__struct_fields__
    if "database_url" not in fields:
        return []
    password = known.postgres_password(service.name)
    if "migrate_database_url" not in fields:
        return [postgres.Role(service.name, password)]
    owner = plan.owner_of(service.name)
    writer = postgres.Role(service.name, password, makes_schemas=False, member_of=f"parley_{service.name}_writer")
    return [postgres.Role(owner, known.postgres_password(owner)), writer]


def _nats_config(made: Assembly, name: str) -> nats.NatsConfig:
    users = [OPERATOR, *(service.name for service in made.services if service.on_nats)]
    several = made.nodes > 1
    return nats.NatsConfig(
        host=made.settings.host,
        port=made.ports[name],
        monitor_port=made.ports[nodes.monitor_of(name)],
        store=nodes.store_of(made.home, name, made.nodes),
        passwords={user: made.known.nats_password(user) for user in users},
        specialties=made.specialties,
        shards=made.mesh.shards,
        max_file_store=made.settings.max_file_store,
        # Copies on one machine fall together with it, and what was acknowledged is to outlive that as well.
        sync_interval=made.settings.sync_interval or ("always" if several else ""),
        server_name=name if several else "parley",
        routes=_routes(made, name) if several else None,
    )


def _routes(made: Assembly, name: str) -> nats.Routes:
    listens = {node: f"{made.settings.host}:{made.ports[nodes.routes_of(node)]}" for node in nodes.names(made.nodes)}
    return nats.Routes(listens[name], list(listens.values()), made.known.token("nats-routes"))


def _copied(topology: TopologySettings, count: int) -> TopologySettings:
    """In a cluster one copy, the default, stands for as many as outlive the loss of a node."""
    copies = nodes.COPIES if count > 1 and topology.replicas == 1 else topology.replicas
    return msgspec.structs.replace(topology, replicas=copies)


def _make_secrets(made: Assembly) -> None:
    """Each is made when it is first asked for: ask for all of them, so that those saved are whole."""
    made.known.nats_password(OPERATOR)
    made.known.postgres_password(postgres.SUPERUSER)
    made.known.token("nats-routes")
    _given(made)


def _keep_master_key(home: Home, known: secrets.Secrets) -> None:
    # In a file of its own: what stands in an environment shows in process lists and crash reports.
    write_private(home.master_key, known.key("master").encode())


def _plain(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without anybody's secrets, for programs that are not ours."""
    return {name: environ[name] for name in ("PATH", "HOME", "LANG", "TZ", "TMPDIR") if name in environ}


def _rotating(made: Assembly, name: str) -> Callable[[], Awaitable[None]]:
    async def rotate() -> None:
        process.rotate(made.home.log_of(name), made.settings.log_bytes)

    return rotate


async def _orphans_gone(cluster: postgres.Cluster) -> None:
    """After a kill of the server its backends still hold the shared memory: no new server before they are gone."""
    deadline = asyncio.get_running_loop().time() + _ORPHANS_S
    while left := postgres.left_over(cluster.folder):
        if asyncio.get_running_loop().time() > deadline:
            for orphan in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan.pid, signal.SIGKILL)
        await asyncio.sleep(0.02)
